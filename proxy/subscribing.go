package proxy

import "time"

// A client that sends SUBSCRIBE and, before the confirmation, PUBLISH on another connection gets
// the message from a server, which reads the two in the order of their sending. Here they go by
// different links, which the server may read in either order, and the subscriber's may have to be
// dialled first. So a PUBLISH waits until the earlier subscriptions are confirmed: mostly a round
// trip, at most subscribeWait. That holds among the clients of one worker.

// subscribeWait bounds a PUBLISH's wait for subscriptions. Only tests change it.
var subscribeWait = 50 * time.Millisecond

// subscribing tracks a worker's unconfirmed subscriptions.
type subscribing struct {
	last    uint64           // number of the newest
	open    map[*link]uint64 // the newest of each link
	waiting []publisher      // in the order of arrival
	armed   bool
}

// publisher waits for the subscriptions up to one.
type publisher struct {
	s     *session
	upTo  uint64
	door  bool  // it waits for clients at the door (door.go)
	until int64 // loop time
}

// subscribed notes a subscription sent on l.
func (w *worker) subscribed(l *link) {
	b := &w.subs
	if b.open == nil {
		b.open = map[*link]uint64{}
	}
	b.last++
	b.open[l] = b.last
}

// confirmed notes that l's subscriptions reached the server, or never will.
func (w *worker) confirmed(l *link) {
	b := &w.subs
	if len(b.open) == 0 || b.open[l] == 0 {
		return
	}
	delete(b.open, l)
	w.wakePublishers()
}

// wakePublishers resumes the publishers whose subscriptions are confirmed, or that have waited long
// enough.
func (w *worker) wakePublishers() {
	b := &w.subs
	oldest := b.last + 1
	for _, n := range b.open {
		oldest = min(oldest, n)
	}
	for len(b.waiting) > 0 {
		p := b.waiting[0]
		behind := p.upTo >= oldest || p.door && w.door.busy()
		if behind && p.until > w.loop.Now() {
			break
		}
		if behind {
			b.forget(p.upTo)
		}
		b.waiting = b.waiting[1:]
		p.s.wake(waitSubscribers)
	}
}

// forget drops the subscriptions up to one: a PUBLISH has waited long enough for them, and the next
// one does not wait again.
func (b *subscribing) forget(upTo uint64) {
	for l, n := range b.open {
		if n <= upTo {
			delete(b.open, l)
		}
	}
}

// behindSubscribers has a PUBLISH wait for the earlier subscriptions.
func (f *frame) behindSubscribers() next {
	s := f.s
	w, b := s.w, &s.w.subs
	door := !s.again.knocked && w.door.busy() // its clients may subscribe
	if s.again.patient || len(b.open) == 0 && !door {
		return goOn
	}
	s.again.knocked, s.again.patient = true, !door // later arrivals are no reason to wait again
	until := w.loop.Now() + int64(subscribeWait)
	b.waiting = append(b.waiting, publisher{s, b.last, door, until})
	if !b.armed {
		b.armed = true
		w.loop.AfterFunc(subscribeWait, w.publishersTimeout)
	}
	return waitSubscribers
}

func (w *worker) publishersTimeout() {
	b := &w.subs
	w.wakePublishers()
	w.resume()
	if b.armed = len(b.waiting) > 0; b.armed {
		wait := time.Duration(b.waiting[0].until - w.loop.Now())
		w.loop.AfterFunc(max(wait, time.Millisecond), w.publishersTimeout)
	}
}
