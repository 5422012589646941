package proxy

import (
	"bytes"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// lineage is one history on one process of the server. A proof is valid only if the process that
// gives it executed the write and has kept its history since: a primary that was restarted,
// replaced, or demoted and promoted does not inherit a promise.
//
// The first reply on each side link names the process at its other end (run_id), and INFO in each
// fence names that process's history (role, master_replid). When one of these changes, a new epoch
// begins, and the holds of older epochs are answered -UNCONFIRMED.
//
// An ordinary link is not asked for its process, since its user may lack the permission for INFO.
// That makes no difference while all connections lead to one process. But a load balancer or relay
// between proxy and server may lead old and new connections to different ones for a while:
//
//	side link 1 dialled ──▸ run id X      a link that was dialled between the two leads to X as
//	link        dialled ──▸ ?             well, if what lies between changes over once. So a link
//	side link 2 dialled ──▸ run id X      counts when a side link that was dialled later says X.
//
// A write on a link younger than the newest side link dials a fresh side link: once for each new
// link and all others opened meanwhile.
//
// A new replication id alone is harmless if the primary then has no past (master_replid2 is all
// zeros): its first replica was attached, or its backlog has expired. A promotion leaves the old id
// in master_replid2.
type lineage struct {
	runID   string // of the process; "": not known yet
	replID  [40]byte
	newest  uint64 // dialNo of the newest side link that said runID
	epoch   uint64
	primary bool // by its own account

	unverified queue[*hold] // on links that are not verified
}

// verified reports whether the link is known to lead to the process of the lineage.
func (d *durability) verified(l *link) bool {
	return l.connNo != 0 && l.connNo < d.newest && l.runID == d.runID && l.runID != ""
}

// verify dials a side link for the links younger than the newest.
func (d *durability) verify() {
	if h := d.unverified.front(); h.link.connNo < d.newest {
		d.checkLinks() // answered after that side link opened
		return
	}
	d.sides.open(d)
}

// checkLinks checks the holds on links that were not verified.
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
			d.settle(h, telemetry.HoldPrimary)
			d.unref(h)
		default:
			d.unverified.push(h)
		}
	}
}

// hello takes a new side link's first reply.
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
		d.runID, d.newest = string(id), sl.l.dialNo
		copy(d.replID[:], r.ReplID)
		d.leaveOthers(sl)
	case string(id) != d.runID:
		if sl.l.dialNo < d.newest {
			sl.close(errSideSpare) // an older link, which was slow to answer
			return
		}
		d.anotherProcess(sl, id, &r)
	default:
		d.newest = max(d.newest, sl.l.dialNo)
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

// sighted takes the control connection's latest INFO. A history unknown to the lineage is examined
// now, while few replies or none wait: otherwise the first write after a restore or a failover
// would discover it, and be answered -UNCONFIRMED.
func (d *durability) sighted(info *upstream.Info) {
	if info.Up && d.routes && d.runID != "" && info.ReplID != "" &&
		(info.RunID != d.runID || info.ReplID != string(d.replID[:])) {
		d.sides.open(d)
	}
}

// whyUnidentified is the reason for refusing proofs while unidentified.
const whyUnidentified = "the server has been replaced, and which process links lead to is being found out"

// unidentified reports whether the control connection leads to another process or history than the
// lineage's. A side link to it is on its way (sighted). Its hello begins a new epoch, and a write
// sent before would be answered -UNCONFIRMED for no fault of the server's. So the write waits for
// the hello.
func (d *durability) unidentified() bool {
	info := d.w.up.Info()
	if !info.Up || info.RunID == "" || d.runID == "" {
		return false
	}
	return info.RunID != d.runID || info.ReplID != "" && info.ReplID != string(d.replID[:])
}

// infoField returns the rest of the INFO line that begins with name.
func infoField(text []byte, name string) []byte {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return trimCRLF(rest)
		}
	}
	return nil
}

// anotherProcess takes over the process of a new side link: older side links, and links dialled
// before it, lead elsewhere.
func (d *durability) anotherProcess(sl *sideLink, id []byte, r *upstream.Replication) {
	d.newEpoch("another server process")
	d.runID, d.newest = string(id), sl.l.dialNo
	copy(d.replID[:], r.ReplID)
	for i := len(d.sides.links) - 1; i >= 0; i-- {
		if o := d.sides.links[i]; o != sl {
			o.close(errSideSpare)
		}
	}
	d.leaveOthers(sl)
	d.w.up.Recheck()
	d.w.proofsMoved()
}

// leaveOthers retires the links to processes other than the lineage's, which sl has just named. A
// link whose dial began after sl was connected leads to that process, too, although the hello came
// later. Where the others opened meanwhile lead is unknown.
func (d *durability) leaveOthers(sl *sideLink) {
	for l := range d.w.links {
		switch {
		case l.side != nil || l.runID == d.runID:
		case l.dialNo > sl.l.connNo:
			l.runID = d.runID
		case l.connNo != 0:
			l.leave(d.w.up)
		}
	}
}

// limitSides closes the oldest side links beyond the limit: the youngest verifies the most links.
func (d *durability) limitSides() {
	for i := 0; len(d.sides.links) > maxFlights*max(len(d.kinds), 1) && i < len(d.sides.links); {
		if sl := d.sides.links[i]; sl.ready && sl.flight == nil {
			sl.close(errSideSpare)
			continue
		}
		i++
	}
}

// samePrimary compares INFO with the lineage; false: INFO proves nothing.
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
	}
	d.w.up.Recheck()
	d.w.proofsMoved()
	return harmless
}

// newEpoch settles every hold so far: their writes can no longer be proven.
func (d *durability) newEpoch(why string) {
	d.epoch++
	waited := 0
	for _, q := range d.timeouts {
		for i := range q.holds.len() {
			h := q.holds.at(i)
			if !h.settled {
				waited++
			}
			d.settle(h, telemetry.HoldPrimary)
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

// upstreamMoved is called when a reload has replaced the server.
func (d *durability) upstreamMoved() {
	d.newEpoch("a reload has put another server in its place")
	d.closeSides()
	d.runID, d.newest, d.primary = "", d.w.dialSeq, false
	d.facts = facts{}
}

// linkBroke settles the holds of a broken link: the server may be gone.
func (d *durability) linkBroke(l *link) {
	for _, q := range d.timeouts {
		for i := range q.holds.len() {
			if h := q.holds.at(i); h.link == l {
				d.settle(h, telemetry.HoldLink)
			}
		}
	}
}

// knownRunID is the last known process behind new connections.
func (w *worker) knownRunID() string {
	if d := w.durable; d != nil && d.runID != "" {
		return d.runID
	}
	if info := w.up.Info(); info.Up {
		return info.RunID
	}
	return ""
}

// stale reports whether the link was dialled before the proxy learnt of the present process.
func (w *worker) stale(l *link) bool {
	d := w.durable
	return d != nil && l.side == nil && d.runID != "" && l.runID != d.runID
}
