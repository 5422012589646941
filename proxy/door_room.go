package proxy

// doorRoom bounds the unread replies on the link that asks about clients before their login.
// Servers close a connection without a login when more than 1,024 bytes of its replies are unread
// (Redis since 7.0.15 with its security updates, 7.4.3 and 8.0; Valkey since 8.0.3 and 8.1.1):
// concurrent logins would close each other's connection.
type doorRoom struct {
	unread int        // maximum of the expected reply bytes
	queue  []*session // waiting for room, all with s.wait == waitDoor, except ended ones
}

const (
	// unreadMost is the maximum of unread.
	unreadMost = 900
	// The longest replies, each with the reply to the RESET after it: -ERR AUTH called without any
	// password configured; -NOAUTH to HELLO; an unknown command, with 128 bytes each of its name
	// and arguments.
	unreadAuth  = 160
	unreadHello = 260
	unreadOther = 400
	// unreadQuestion is the reply to RESET, and -NOAUTH to PING.
	unreadQuestion = 60
)

// has reports whether a reply of that size fits.
func (r *doorRoom) has(bytes int) bool { return r.unread+bytes <= unreadMost }

// take adds an expected reply.
func (r *doorRoom) take(bytes int) { r.unread += bytes }

// give undoes take: the reply was read, or will not come.
func (r *doorRoom) give(bytes int) {
	r.unread -= bytes
	for room := unreadMost - r.unread; len(r.queue) > 0 && room >= unreadAuth; room -= unreadAuth {
		s := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		s.wake(waitDoor)
	}
}

// await makes a command wait until there is room to ask about its client.
func (r *doorRoom) await(s *session, bytes int) next {
	if r.has(bytes) {
		return goOn
	}
	r.queue = append(r.queue, s)
	return waitDoor
}
