package proxy

// backseat is the sessions whose newest command was refused. What they send further is looked at
// behind everything else of a turn, a few commands at a time and in turns among them: a bug that
// sends nothing but refused commands, as fast as it can and from many connections, then costs the
// other clients of the loop some microseconds a turn, however much it sends. A command of a session
// that is let through gives it its old place back.
//
// A budget for all together, and not one for each session: what the others wait for is the turn.
type backseat struct {
	queue []*session // all with s.wait == waitTurn, but for those that have ended
	left  int        // refusals that this turn may still answer
	again func()     // does nothing: posted, it keeps the loop from sleeping
}

// refusalsPerTurn is how many refusals a turn answers once others wait. It takes some 10 µs.
const refusalsPerTurn = 16

// takeBackseat is called for each refusal. The rest of what the session has sent waits for its turn.
func (s *session) takeBackseat() {
	s.refused = true
	if s.w.back.left--; s.w.back.left <= 0 {
		s.queueUp()
	}
}

// queueUp has the session's next command wait for the end of the turn.
func (s *session) queueUp() {
	s.wait = waitTurn
	s.w.back.queue = append(s.w.back.queue, s)
}

// serveBackseat lets the refused sessions go on, until the turn has answered enough of them. It runs
// at the end of a turn.
func (w *worker) serveBackseat() {
	b := &w.back
	b.left = refusalsPerTurn
	n := 0
	for ; n < len(b.queue) && b.left > 0; n++ {
		if s := b.queue[n]; s.wait == waitTurn {
			s.proceed()
		}
	}
	b.left = 0
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	b.queue = b.queue[:rest]
}
