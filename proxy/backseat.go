package proxy

import (
	"strings"
	"time"

	"holdfast/proxy/eventloop"
)

// backseat is the sessions whose newest command was refused, by a rule or by the server for lack of
// a login. Their further commands are handled at the end of a turn, round-robin, and within a share
// of the loop's time. So a bug that sends only refused commands, at full speed and from many
// connections, costs the other clients some microseconds a turn, however much it sends, and gets
// its answers later. A command that passes returns a session to its old place.
//
// All of them share one budget, since the whole turn is what delays the other clients.
type backseat struct {
	queue []*session // all with s.wait == waitTurn, except ended ones
	left  int        // refusals that may be answered now; negative: answered in advance
	next  int64      // loop time of the next refusal
	timer *eventloop.Timer
	// away has the hosts of clients that the server recently turned away, with the time until which
	// a new client from there begins among the refused: a client that reconnects for each attempt
	// gains nothing.
	away map[string]int64
}

const (
	// refusalEvery is the interval between refusals when there are many. One takes some 10 µs, most
	// of them the kernel's, so refusals take a tenth of a loop's time.
	refusalEvery = int64(100 * time.Microsecond)
	// refusalBatch is the number of refusals that must be due before a turn answers any, so that
	// one write answers several of a pipeline.
	refusalBatch = 4
	// refusalBurst is the number of refusals that a turn answers after a pause.
	refusalBurst = 8
	// awayFor is how long a host stays in away; awayMax bounds their number.
	awayFor = int64(10 * time.Second)
	awayMax = 4096
	// backseatPause is how long the loop may sleep while refused sessions wait.
	backseatPause = time.Millisecond
)

// take is called for each refusal. The rest of the session's input waits for its turn.
func (b *backseat) take(s *session) {
	if b.note(s); b.left <= 0 {
		b.queueUp(s)
	}
}

// note is take for a refusal in a server's reply: the session's next command checks
// for its turn.
func (b *backseat) note(s *session) {
	s.refused = true
	b.left--
}

// noteAway is note for a client whose login the server requires or rejects.
func (b *backseat) noteAway(s *session) {
	b.note(s)
	if b.away == nil || len(b.away) >= awayMax {
		b.away = map[string]int64{}
	}
	b.away[hostOf(s.conn.RemoteAddr())] = s.w.loop.Now() + awayFor
}

// isAway reports whether clients from the session's host were recently turned away.
func (b *backseat) isAway(addr string, now int64) bool {
	if len(b.away) == 0 {
		return false
	}
	host := hostOf(addr)
	until, ok := b.away[host]
	if ok && now > until {
		delete(b.away, host)
	}
	return ok && now <= until
}

// hostOf returns an address without its port.
func hostOf(addr string) string { return addr[:max(strings.LastIndexByte(addr, ':'), 0)] }

// awaitsTurn makes a command of a client that is not logged in wait for its turn after a refusal.
// Logins wait, too: the server computes a digest for each, and a client that guesses passwords
// sends many.
func (b *backseat) awaitsTurn(s *session) bool {
	if !s.refused || b.left > 0 {
		return false
	}
	b.queueUp(s)
	return true
}

// queueUp makes the session's next command wait for the end of a turn.
func (b *backseat) queueUp(s *session) {
	s.wait = waitTurn
	b.queue = append(b.queue, s)
}

// serveBackseat runs the refused sessions as far as their time goes. It runs at the end of a turn.
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

// refill adds the refusals that have become due.
func (b *backseat) refill(now int64) {
	if now < b.next {
		return
	}
	n := 1 + (now-b.next)/refusalEvery
	b.next += n * refusalEvery
	b.left = int(min(int64(b.left)+n, refusalBurst))
}

// comeBack makes the loop return to the refused sessions, even without other events.
func (w *worker) comeBack() {
	if w.back.timer == nil {
		w.back.timer = w.loop.AfterFunc(backseatPause, func() {}) // only the turn matters
		return
	}
	w.back.timer.Reset(backseatPause)
}
