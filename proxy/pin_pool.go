package proxy

import (
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/resp"
)

// pinPool counts a worker's pinned links, and queues the sessions that wait for one. A tenth is
// reserved for transactions, so that a fleet of subscribers does not block the transactions of
// others: transactions end by themselves, while subscribers and blocked clients may stay for ever.
//
// A session waits at most limits.pinned_wait; then it gets an error that names the exhausted limit.
type pinPool struct {
	made  int // lent or at rest
	short []pinWaiter
	long  []pinWaiter
	timer *eventloop.Timer
	told  seldom.Pace // of a lack of links
}

// pinWaiter is a session that waits for a pinned link.
type pinWaiter struct {
	s     *session
	until int64 // loop time
}

// pinReserve is the number of limit pinned links reserved for transactions.
func pinReserve(limit int) int {
	if limit < 2 {
		return 0
	}
	return (limit + 9) / 10
}

// mayLend reports whether a pinned link can be lent; short: for a transaction.
func (w *worker) mayLend(short bool) bool {
	limit := w.limits.PinnedLinks
	if !short {
		limit -= pinReserve(limit)
	}
	return w.pins.made < limit || w.pins.made-w.idlePins() < limit
}

// idlePins counts the pinned links at rest.
func (w *worker) idlePins() (n int) {
	for _, i := range w.identities {
		n += len(i.idle)
	}
	return n
}

// retireIdlePin closes one pinned link at rest, of any identity and protocol, to make room.
func (w *worker) retireIdlePin() {
	for _, i := range w.identities {
		if len(i.idle) > 0 {
			i.idle[0].retire()
			return
		}
	}
}

// awaitPin has the session wait for a pinned link.
func (w *worker) awaitPin(s *session, short bool) {
	p := &w.pins
	q := &p.long
	if short {
		q = &p.short
	}
	*q = append(*q, pinWaiter{s, w.loop.Now() + int64(w.limits.PinnedWait)})
	if p.timer == nil {
		p.timer = w.loop.AfterFunc(w.limits.PinnedWait, w.starvePinWaiters)
	}
}

// wakePinWaiter lets one session try again to borrow a pinned link, transactions first.
func (w *worker) wakePinWaiter() {
	if !w.wakeFirst(&w.pins.short) && w.mayLend(false) {
		w.wakeFirst(&w.pins.long)
	}
}

func (w *worker) wakeFirst(q *[]pinWaiter) bool {
	for len(*q) > 0 {
		s := (*q)[0].s
		*q = (*q)[1:]
		if !s.closed && s.wait == waitPin {
			w.wakeUp(s)
			return true
		}
	}
	return false
}

// starvePinWaiters resumes the sessions that have waited too long.
func (w *worker) starvePinWaiters() {
	p := &w.pins
	p.timer = nil
	next := int64(0)
	for _, q := range []*[]pinWaiter{&p.short, &p.long} {
		for len(*q) > 0 && (*q)[0].until <= w.loop.Now() {
			if s := (*q)[0].s; !s.closed && s.wait == waitPin {
				s.again.starved = true
				w.wakeUp(s)
			}
			*q = (*q)[1:]
		}
		if len(*q) > 0 && (next == 0 || (*q)[0].until < next) {
			next = (*q)[0].until
		}
	}
	w.resume()
	if next > 0 && p.timer == nil {
		p.timer = w.loop.AfterFunc(time.Duration(next-w.loop.Now()), w.starvePinWaiters)
	}
}

// starved refuses a command that got no pinned link in time, unless one is free by now. A session
// whose MULTI or WATCH is refused ends: its next commands would be carried out without the
// transaction.
func (f *frame) starved() next {
	s, cmd, b := f.s, f.cmd, f.b
	w := s.w
	short := b == multi || b == watch
	if s.pin != nil || w.mayLend(short) {
		return goOn
	}
	w.counters.PinsRefused++
	if w.pins.told.Passes("", w.loop.Now(), pinLogPause) {
		w.log.Warn("limits.pinned_links is used up: clients wait for a link of their own and are "+
			"refused", "limit", w.limits.PinnedLinks, "waiting", len(w.pins.short)+len(w.pins.long),
			"command", cmd.Name, "client", s.conn.RemoteAddr())
	}
	text := textNoPin(cmd.Name, w.limits.PinnedLinks)
	if !short {
		return f.refuseInPlace(text)
	}
	w.countDenied(s, cmd, nil)
	s.replyCall(&call{local: resp.AppendOwnError(nil, text), closes: true})
	s.ending = true
	w.wakeUp(s)
	return handled
}

// pinLogPause is the least time between two log lines about pinned links.
const pinLogPause = 10 * time.Second
