package proxy

import (
	"time"

	"holdfast/proxy/eventloop"
)

// backseat is the sessions whose newest command was refused. What they send further is looked at
// behind everything else of a turn, in turns among them, and so slowly that it takes a part of the
// loop's time only: a bug that sends nothing but refused commands, as fast as it can and from many
// connections, then costs the other clients some microseconds a turn, however much it sends, and
// gets its answers later. A command that is let through gives a session its old place back.
//
// There is one budget for all of them, and not one for each: what the others wait for is the turn.
type backseat struct {
	queue []*session // all with s.wait == waitTurn, but for those that have ended
	left  int        // refusals that may be answered now; negative: some were answered in advance
	next  int64      // loop time from which on there will be one more
	timer *eventloop.Timer
}

const (
	// refusalEvery is the pace of refusals when there are many. One takes some 10 µs, most of them
	// the kernel's, so that they take a tenth of a loop's time.
	refusalEvery = int64(100 * time.Microsecond)
	// refusalBatch is how many there has to be time for before a turn answers any: of a pipeline,
	// several go in one write.
	refusalBatch = 4
	// refusalBurst is how many a turn answers after a pause.
	refusalBurst = 8
	// backseatPause is how long the loop may sleep while refused sessions wait.
	backseatPause = time.Millisecond
)

// takeBackseat is called for each refusal. The rest of what the session has sent waits for its turn.
func (s *session) takeBackseat() {
	s.refused = true
	if s.w.back.left--; s.w.back.left <= 0 {
		s.queueUp()
	}
}

// queueUp has the session's next command wait for the end of a turn.
func (s *session) queueUp() {
	s.wait = waitTurn
	s.w.back.queue = append(s.w.back.queue, s)
}

// serveBackseat lets the refused sessions go on, as far as there is time for them. It runs at the end
// of a turn.
func (w *worker) serveBackseat() {
	b := &w.back
	b.refill(w.loop.Now())
	if b.left < refusalBatch {
		return
	}
	n := 0
	for ; n < len(b.queue) && b.left > 0; n++ {
		if s := b.queue[n]; s.wait == waitTurn {
			s.proceed()
		}
	}
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
}

// refill adds the refusals for which there has been time.
func (b *backseat) refill(now int64) {
	if now < b.next {
		return
	}
	n := 1 + (now-b.next)/refusalEvery
	b.next += n * refusalEvery
	b.left = int(min(int64(b.left)+n, refusalBurst))
}

// comeBack has the loop look at the refused sessions again, though nothing may happen until then.
func (w *worker) comeBack() {
	if w.back.timer == nil {
		w.back.timer = w.loop.AfterFunc(backseatPause, func() {}) // the turn is what counts
		return
	}
	w.back.timer.Reset(backseatPause)
}
