package durable

import (
	"time"

	"holdfast/proxy/queue"
	"holdfast/proxy/telemetry"
)

// expiry is the timeouts of held replies.
type expiry struct {
	queues []*timeoutQueue
	timer  Timer
	wakes  int64 // when it fires; 0: it is not armed
}

// timeoutQueue is the holds of all routes with the same timeout, in the order of expiry. There is
// one queue for each distinct timeout, and one timer for all.
type timeoutQueue struct {
	after time.Duration
	holds queue.Queue[*Hold]
}

// each calls f for every hold that is not pruned yet, settled or not.
func (e *expiry) each(f func(*Hold)) {
	for _, q := range e.queues {
		for i := range q.holds.Len() {
			f(*q.holds.At(i))
		}
	}
}

// queue returns the queue of a timeout, new or known.
func (e *expiry) queue(after time.Duration) *timeoutQueue {
	for _, q := range e.queues {
		if q.after == after {
			return q
		}
	}
	q := &timeoutQueue{after: after}
	e.queues = append(e.queues, q)
	return q
}

// startTimeout starts the timeout at the server's reply.
func (p *Pipeline) startTimeout(h *Hold) {
	q := h.terms.timeouts
	h.refs++
	q.holds.Push(h)
	if q.holds.Len() == 1 {
		p.wakeAt(h.began + int64(q.after))
	}
}

// wakeAt arms the timer, unless it is armed for an earlier time.
func (p *Pipeline) wakeAt(when int64) {
	e := &p.expiry
	wait := max(when-p.env.Now(), 1)
	switch {
	case e.timer == nil:
		e.timer = p.env.After(time.Duration(wait), p.expire)
	case e.wakes == 0 || when < e.wakes:
		e.timer.Reset(time.Duration(wait))
	default:
		return
	}
	e.wakes = when
}

// expire settles the holds whose timeout is over.
func (p *Pipeline) expire() {
	p.expiry.wakes = 0
	now := p.env.Now()
	for _, q := range p.expiry.queues {
		for q.holds.Len() > 0 {
			h := *q.holds.Front()
			if !h.settled && h.began+int64(q.after) > now {
				p.wakeAt(h.began + int64(q.after))
				break
			}
			q.holds.Drop()
			if !h.settled {
				h.closes = h.terms.match.Close
				p.settle(h, telemetry.HoldTimeout)
			}
			p.unref(h)
		}
	}
}

// prune drops settled holds.
func (p *Pipeline) prune() {
	for _, q := range p.expiry.queues {
		for q.holds.Len() > 0 && (*q.holds.Front()).settled {
			p.unref(q.holds.Pop())
		}
	}
	for _, f := range p.kinds {
		for f.waiting.Len() > lateMax && (*f.waiting.Front()).settled {
			p.unref(f.waiting.Pop())
		}
	}
}

// lateMax bounds the timed-out holds that still wait for a late proof, to count it.
const lateMax = 64 << 10
