package proxy

import (
	"time"

	"holdfast/proxy/eventloop"
)

// proofWait is the sessions whose write waits, unsent, for its proof to become available again: the
// journal reconnects, a replica is briefly away. The rejected design executes such a write and lets
// its gate wait: if the proof stays unavailable, the write is executed and unproven, although that
// risk was known beforehand. -NODURABLE keeps its meaning: not executed.
type proofWait struct {
	list  waitList
	timer *eventloop.Timer
	wakes int64 // loop time at which it fires; 0: not armed
}

// awaitProof makes the frame in hand wait if its missing proof may come back in time. It waits at
// most for its route's timeout; once the write is executed, its gate has the same time again.
func (f *frame) awaitProof() bool {
	s := f.s
	w := s.w
	until := w.durable.HopeUntil(f.due)
	if until.IsZero() || s.eof || s.ending || w.draining {
		return false
	}
	now := w.loop.Now()
	by := now + int64(time.Until(until))
	if s.again.proofBy == 0 || by < s.again.proofBy {
		s.again.proofBy = by
	}
	if s.again.proofBy <= now {
		return false
	}
	w.awaiting.add(s)
	return true
}

func (p *proofWait) add(s *session) {
	p.list.add(s, waitProof)
	w, when := s.w, s.again.proofBy
	if p.wakes != 0 && p.wakes <= when {
		return
	}
	p.wakes = when
	if after := time.Duration(when - w.loop.Now()); p.timer == nil {
		p.timer = w.loop.AfterFunc(after, p.wake)
	} else {
		p.timer.Reset(after)
	}
}

// wake presents every such write again. Those with time left wait again.
func (p *proofWait) wake() {
	p.wakes = 0
	p.list.wake(waitProof)
}

// proofsMoved is called when the available proofs may have changed.
func (w *worker) proofsMoved() {
	if len(w.awaiting.list.sessions) > 0 {
		w.awaiting.wake()
	}
}
