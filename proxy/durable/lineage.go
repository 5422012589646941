package durable

import (
	"bytes"

	"holdfast/proxy/queue"
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

	unverified queue.Queue[*Hold] // on links that are not verified
}

// verified reports whether the link is known to lead to the process of the lineage.
func (p *Pipeline) verified(o *Origin) bool {
	return o.ConnNo != 0 && o.ConnNo < p.newest && o.RunID == p.runID && o.RunID != ""
}

// verify dials a side link for the links younger than the newest.
func (p *Pipeline) verify() {
	if h := *p.unverified.Front(); h.origin.ConnNo < p.newest {
		p.checkLinks() // answered after that side link opened
		return
	}
	p.sides.open()
}

// checkLinks checks the holds on links that were not verified.
func (p *Pipeline) checkLinks() {
	for range p.unverified.Len() {
		h := p.unverified.Pop()
		switch o := h.origin; {
		case p.verified(o):
			p.met(h, needsOrigin)
			p.unref(h)
		case h.settled:
			p.unref(h)
		case o.ConnNo != 0 && o.ConnNo < p.newest:
			// Dialled before, and to another process, as far as is known.
			p.settle(h, telemetry.HoldPrimary)
			p.unref(h)
		default:
			p.unverified.Push(h)
		}
	}
}

// hello takes a new side link's first reply.
func (side *sideLink) hello(reply []byte) {
	p, origin := side.p, side.link.Origin()
	text, ok := bulkText(reply)
	id := infoField(text, "run_id:")
	if !ok || len(id) == 0 {
		side.close(errNoInfo)
		return
	}
	r := upstream.ParseReplication(text)
	switch {
	case p.runID == "":
		p.runID, p.newest = string(id), origin.DialNo
		copy(p.replID[:], r.ReplID)
		p.leaveOthers(side)
	case string(id) != p.runID:
		if origin.DialNo < p.newest {
			side.close(errSideSpare) // an older link, which was slow to answer
			return
		}
		p.anotherProcess(side, id, &r)
	default:
		p.newest = max(p.newest, origin.DialNo)
	}
	side.ready = true
	side.idle = p.env.Now()
	p.sides.opening = false
	p.sides.backoff.Reset()
	p.samePrimary(&r)
	p.checkLinks()
	side.countHidden()
	p.sides.limit()
}

// whyUnidentified is the reason for refusing proofs while unidentified.
const whyUnidentified = "the server has been replaced, and which process links lead to is being found out"

// unidentified reports whether the control connection leads to another process or history than the
// lineage's. A side link to it is on its way (sighted). Its hello begins a new epoch, and a write
// sent before would be answered -UNCONFIRMED for no fault of the server's. So the write waits for
// the hello.
func (p *Pipeline) unidentified() bool {
	info := p.env.Info()
	if !info.Up || info.RunID == "" || p.runID == "" {
		return false
	}
	return info.RunID != p.runID || info.ReplID != "" && info.ReplID != string(p.replID[:])
}

// infoField returns the rest of the INFO line that begins with name.
func infoField(text []byte, name string) []byte {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return bytes.TrimRight(rest, "\r\n")
		}
	}
	return nil
}

// anotherProcess takes over the process of a new side link: older side links, and links dialled
// before it, lead elsewhere.
func (p *Pipeline) anotherProcess(side *sideLink, id []byte, r *upstream.Replication) {
	p.newEpoch("another server process")
	p.runID, p.newest = string(id), side.link.Origin().DialNo
	copy(p.replID[:], r.ReplID)
	for i := len(p.sides.links) - 1; i >= 0; i-- {
		if o := p.sides.links[i]; o != side {
			o.close(errSideSpare)
		}
	}
	p.leaveOthers(side)
	p.env.Recheck()
	p.env.Moved()
}

// leaveOthers retires the links to processes other than the lineage's, which side has just named. A
// link whose dial began after side was connected leads to that process, too, although the hello came
// later. Where the others opened meanwhile lead is unknown.
func (p *Pipeline) leaveOthers(side *sideLink) {
	named := side.link.Origin()
	p.env.Retire(func(o *Origin) (elsewhere bool) {
		switch {
		case o.RunID == p.runID:
		case o.DialNo > named.ConnNo:
			o.RunID = p.runID
		default:
			return o.ConnNo != 0
		}
		return false
	})
}

// RunID is the last known process behind new connections; "": it is not known.
func (p *Pipeline) RunID() string { return p.runID }

// samePrimary compares INFO with the lineage; false: INFO proves nothing.
func (p *Pipeline) samePrimary(r *upstream.Replication) bool {
	if !r.IsPrimary() {
		if p.primary {
			p.primary = false
			p.newEpoch("the server is a replica now")
			p.env.Recheck()
		}
		return false
	}
	p.primary = true
	p.facts.journals = r.Journals
	if string(r.ReplID) == string(p.replID[:]) {
		return true
	}
	harmless := !r.HasPast()
	copy(p.replID[:], r.ReplID)
	if !harmless {
		p.newEpoch("the primary has another history")
	}
	p.env.Recheck()
	p.env.Moved()
	return harmless
}

// newEpoch settles every hold so far: their writes can no longer be proven.
func (p *Pipeline) newEpoch(why string) {
	p.epoch++
	waited := 0
	p.expiry.each(func(h *Hold) {
		if !h.settled {
			waited++
		}
		p.settle(h, telemetry.HoldPrimary)
	})
	p.log.Warn("the primary is not what it was; what waited for a proof stays unconfirmed",
		"reason", why, "replies", waited)
	for _, f := range p.kinds {
		f.abandon(why)
	}
	for p.unverified.Len() > 0 {
		p.unref(p.unverified.Pop())
	}
}
