package proxy

// window bounds how many commands a session may have outstanding on a shared link. What one client
// has asked for stands in front of everybody else on that link, even after it has gone: so the
// more its replies weigh, the fewer it may ask for at once. A deep pipeline of small replies is
// soon given all that it can use.
//
// Only commands outstanding at the server count, never replies that the client has not read:
// clients that write a whole pipeline before they read would otherwise wait for themselves.
type window struct {
	n       int    // 0 means windowStart
	bytes   uint64 // of replies since the last adjust
	replies uint64 // how many those were
}

const (
	windowStart = 128
	windowMin   = 4
	windowMax   = 8192
	// windowBytes is about how much one session may have in front of the others.
	windowBytes = 2 << 20
)

// size is how many commands may be outstanding.
func (w *window) size() int {
	if w.n == 0 {
		return windowStart
	}
	return w.n
}

// adjust sets the size by the weight of the replies since the last time.
func (w *window) adjust() {
	each := w.bytes/max(w.replies, 1) + 1
	w.n = int(min(max(windowBytes/each, windowMin), windowMax))
	w.bytes, w.replies = 0, 0
}
