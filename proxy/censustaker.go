package proxy

import (
	"time"
)

// censusTaker takes the censuses of a worker. Counting every session, and making a line of each,
// costs as much as thousands of ordinary commands, and any client may cause it by CLIENT LIST,
// KILL, UNBLOCK or TRACKING. So requests of the same turn share one census, and censuses get a
// share of the loop's time only: beyond it the asking session waits, and no other.
type censusTaker struct {
	w       *worker
	waiting []func(*census)
	taking  bool
	next    int64 // loop time of the earliest next census
	timer   bool  // armed for next
}

const (
	// censusTime bounds the time of a turn for waiting requests. The first of them is always
	// served.
	censusTime = time.Millisecond
	// censusShare: censuses get 1/censusShare of the loop's time.
	censusShare = 5
	// censusFree is the work that needs no pause after it.
	censusFree = 200 * time.Microsecond
)

// takeCensus asks every worker and then runs done on w's loop, later.
func (w *worker) takeCensus(done func(*census)) {
	w.taker.waiting = append(w.taker.waiting, done)
	w.taker.soon()
}

// soon schedules the next census as early as allowed.
func (t *censusTaker) soon() {
	switch wait := t.next - t.w.loop.Now(); {
	case t.taking || t.timer || len(t.waiting) == 0:
	case wait > 0:
		t.timer = true
		t.w.loop.AfterFunc(time.Duration(wait), func() {
			t.timer = false
			t.take()
		})
	default:
		t.taking = true
		t.w.later(func() {
			t.taking = false
			t.take()
		})
	}
}

// take takes a census for all waiting requests.
func (t *censusTaker) take() {
	t.taking = true
	t.w.countAll(func(c *census) {
		t.taking = false
		t.serve(c)
	})
}

// serve passes c to the waiting requests, as far as the time goes.
func (t *censusTaker) serve(c *census) {
	began := time.Now()
	batch := t.waiting
	t.waiting = nil
	n := 0
	for ; n < len(batch) && (n == 0 || time.Since(began) < censusTime); n++ {
		batch[n](c)
	}
	t.waiting = append(batch[n:], t.waiting...)
	if spent := c.cost + time.Since(began); spent > censusFree {
		t.next = t.w.loop.Now() + int64(spent)*censusShare
	}
	t.soon()
}

// blockedLink passes on the server's id of a session's pinned link; 0: none.
func (t *censusTaker) blockedLink(id uint64, done func(serverID int64)) {
	t.w.takeCensus(func(cs *census) {
		v := cs.find(id)
		if v == nil {
			done(0)
			return
		}
		done(v.serverID)
	})
}

// linkOf is blockedLink, but first gives a session without a link of its own one.
func (t *censusTaker) linkOf(id uint64, done func(serverID int64)) {
	t.w.takeCensus(func(cs *census) {
		switch v := cs.find(id); {
		case v == nil:
			done(0)
		case v.serverID != 0:
			done(v.serverID)
		default:
			v.worker.pinSession(id, func(serverID int64) {
				t.w.loop.Post(func() { done(serverID) })
			})
		}
	})
}
