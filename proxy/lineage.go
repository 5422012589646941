package proxy

import (
	"bytes"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// lineage is one history on one process of the server. A proof is worth something only if the
// process that gives it is the one that executed the write, and has kept its history since: a
// primary that was started anew, was demoted and promoted, or has another one in its place, does not
// inherit a promise.
//
// Each side link says on its first reply to which process it leads (run_id), and INFO in each fence
// says which history that has (role, master_replid). When one of these changes, a new epoch begins,
// and the holds of older epochs are answered -UNCONFIRMED.
//
// The process behind an ordinary link is not asked, since its user may not be allowed INFO. Where
// all connections lead to the same process this makes no difference. But something between the
// proxy and the server may lead old and new connections to different ones for a while:
//
//	side link 1 dialled ──▸ run id X      a link that was dialled between the two leads to X as
//	link        dialled ──▸ ?             well, if what lies between changes over once. So a link
//	side link 2 dialled ──▸ run id X      counts when a side link that was dialled later says X.
//
// A write on a link that is younger than the newest side link makes a fresh one be dialled. That is
// once for each new link, and for all that were opened meanwhile.
//
// A new replication id alone is harmless if the primary then has no past (master_replid2 is all
// zeros): its first replica was attached, or its backlog has expired. A promotion leaves the old id
// there.
type lineage struct {
	runID   string // of the process; "": not known yet
	replID  [40]byte
	newest  uint64 // dialNo of the newest side link that said runID
	epoch   uint64
	primary bool // it says that it takes writes

	unverified queue[*hold] // those whose links are not verified
}

// verified reports that the link is known to lead to the process of the lineage.
func (d *durability) verified(l *link) bool {
	return l.connNo != 0 && l.connNo < d.newest && l.runID == d.runID && l.runID != ""
}

// verify dials a side link for the links that are younger than the newest.
func (d *durability) verify() {
	if h := d.unverified.front(); h.link.connNo < d.newest {
		d.checkLinks() // answered after that side link came
		return
	}
	d.sides.open(d)
}

// checkLinks looks at the holds whose links were not verified.
func (d *durability) checkLinks() {
	for range d.unverified.len() {
		h := d.unverified.pop()
		switch l := h.link; {
		case d.verified(l):
			d.met(h, needsLink)
			d.unref(h)
		case h.settled:
			d.unref(h)
		case l.connNo != 0 && l.connNo < d.newest:
			// Dialled before, and to another process, as far as is known.
			d.settle(h, telemetry.HoldPrimary, nil)
			d.unref(h)
		default:
			d.unverified.push(h)
		}
	}
}

// hello takes what a new side link says of the server.
func (sl *sideLink) hello(reply []byte) {
	d := sl.d
	text, ok := bulkText(reply)
	id := infoField(text, "run_id:")
	if !ok || len(id) == 0 {
		sl.close(errNoInfo)
		return
	}
	r := upstream.ParseReplication(text)
	switch {
	case d.runID == "":
		d.runID, d.newest = string(id), sl.dialNo
		copy(d.replID[:], r.ReplID)
		d.leaveOthers()
	case string(id) != d.runID:
		if sl.dialNo < d.newest {
			sl.close(errSideSpare) // an older one, which was slow to answer
			return
		}
		d.anotherProcess(sl, id, &r)
	default:
		d.newest = max(d.newest, sl.dialNo)
	}
	sl.ready = true
	sl.idle = d.w.loop.Now()
	d.sides.opening = false
	d.sides.backoff.Reset()
	d.samePrimary(&r)
	d.checkLinks()
	sl.countHidden()
	d.limitSides()
}

// infoField is the rest of the line of an INFO text that begins with name.
func infoField(text []byte, name string) []byte {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return trimCRLF(rest)
		}
	}
	return nil
}

// anotherProcess begins with the one that a new side link leads to: the older ones, and the links
// that were dialled before it, lead elsewhere.
func (d *durability) anotherProcess(sl *sideLink, id []byte, r *upstream.Replication) {
	d.newEpoch("another server process")
	d.runID, d.newest = string(id), sl.dialNo
	copy(d.replID[:], r.ReplID)
	for i := len(d.sides.links) - 1; i >= 0; i-- {
		if o := d.sides.links[i]; o != sl {
			o.close(errSideSpare)
		}
	}
	d.leaveOthers()
	d.w.up.Recheck()
}

// leaveOthers retires the links that were dialled to a process which is not the lineage's.
func (d *durability) leaveOthers() {
	for l := range d.w.links {
		if l.side == nil && l.connNo != 0 && l.connNo < d.newest && l.runID != d.runID {
			l.leave(d.w.up)
		}
	}
}

// limitSides closes the oldest side links that are too many: the youngest tells most.
func (d *durability) limitSides() {
	for i := 0; len(d.sides.links) > maxFlights*max(len(d.kinds), 1) && i < len(d.sides.links); {
		if sl := d.sides.links[i]; sl.ready && sl.flight == nil {
			sl.close(errSideSpare)
			continue
		}
		i++
	}
}

// samePrimary compares what INFO says with the lineage; false means that it proves nothing.
func (d *durability) samePrimary(r *upstream.Replication) bool {
	if !r.IsPrimary() {
		if d.primary {
			d.primary = false
			d.newEpoch("the server is a replica now")
			d.w.up.Recheck()
		}
		return false
	}
	d.primary = true
	d.facts.replicas, d.facts.journals = r.Replicas, r.Journals
	if string(r.ReplID) == string(d.replID[:]) {
		return true
	}
	harmless := !r.HasPast()
	copy(d.replID[:], r.ReplID)
	if !harmless {
		d.newEpoch("the primary has another history")
		d.w.up.Recheck()
	}
	return harmless
}

// newEpoch settles everything that was sent so far: it cannot be proven any more.
func (d *durability) newEpoch(why string) {
	d.epoch++
	waited := 0
	for _, q := range d.timeouts {
		for i := range q.holds.len() {
			h := q.holds.at(i)
			if !h.settled {
				waited++
			}
			d.settle(h, telemetry.HoldPrimary, nil)
		}
	}
	d.w.log.Warn("the primary is not what it was; what waited for a proof stays unconfirmed",
		"reason", why, "replies", waited)
	for _, f := range d.kinds {
		for f.waiting.len() > 0 {
			d.unref(f.waiting.pop())
		}
		for len(f.flights) > 0 {
			fl := f.flights[0]
			f.ended(fl, telemetry.FencePrimary, why)
			fl.landed()
		}
		f.covered, f.retry = d.seq, 0
	}
	for d.unverified.len() > 0 {
		d.unref(d.unverified.pop())
	}
}

// upstreamMoved is called when a reload has put another server in the place of the old one.
func (d *durability) upstreamMoved() {
	d.newEpoch("a reload has put another server in its place")
	d.closeSides()
	d.runID, d.newest, d.primary = "", d.w.dialSeq, false
	d.facts = facts{}
}

// linkBroke settles what was sent by a link that broke: the server may be gone.
func (d *durability) linkBroke(l *link) {
	for _, q := range d.timeouts {
		for i := range q.holds.len() {
			if h := q.holds.at(i); h.link == l {
				d.settle(h, telemetry.HoldLink, nil)
			}
		}
	}
}

// knownRunID is the process that connections led to most recently, as far as is known.
func (w *worker) knownRunID() string {
	if d := w.durable; d != nil && d.runID != "" {
		return d.runID
	}
	if info := w.up.Info(); info.Up {
		return info.RunID
	}
	return ""
}

// stale reports that the link was dialled before the proxy knew that there is another process.
func (w *worker) stale(l *link) bool {
	d := w.durable
	return d != nil && l.side == nil && d.runID != "" && l.runID != d.runID
}
