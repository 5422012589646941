package proxy

// A frame waits unbegun before any step of its execution: it is neither sent, nor counted against a
// limit that it would pass twice. It stays in its session's input, so order, memory and
// backpressure are those of any pending input. When its wait is over the frame is presented again,
// and judged as if it had come then. If its client leaves, it is refused instead: the client may
// have sent the command again on another connection.

// waitList holds the sessions whose frame waits unbegun for one reason. It belongs to a worker's
// loop.
type waitList struct{ sessions []*session }

// add has the session wait for reason until wake, or until another event wakes it.
func (q *waitList) add(s *session, reason next) {
	if s.again.listed != reason {
		s.again.listed = reason
		q.sessions = append(q.sessions, s)
	}
}

// wake has every frame presented again.
func (q *waitList) wake(reason next) {
	all := q.sessions
	q.sessions = nil
	for _, s := range all {
		if s.again.listed == reason {
			s.again.listed = goOn
		}
		s.wake(reason)
	}
}
