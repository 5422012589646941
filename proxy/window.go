package proxy

import (
	"time"
)

// window bounds a session's outstanding commands on a shared link. One client's replies delay those
// of all other clients on that link, even after it has gone: so the larger its replies, the smaller
// its window. A deep pipeline of small replies soon gets as large a window as it can use.
//
// Many clients with heavy replies would still fill a link together. So there are two more bounds. A
// session with heavy replies goes by a lane of its kind (laneBulk), where it delays only its like:
// the server sends 64 KiB on a connection before it turns to the next, and a small reply does not
// queue behind megabytes. And a link takes no more commands than linkBytes of replies, by their
// recent size; the waiting sessions go on in turn.
//
// Only commands outstanding at the server count, never unread replies: clients that write a whole
// pipeline before they read would otherwise wait for themselves. limits.client_output ends those
// that never read.
type window struct {
	n       int    // 0: no reply measured yet
	heavy   bool   // its replies are heavy
	bytes   uint64 // of replies since the last adjust
	replies uint64 // their number
}

const (
	// windowStart is the window until the size of replies is known.
	windowStart = 8
	windowMin   = 4
	windowMax   = 8192
	// windowBytes is the approximate size of one session's replies ahead of the others'.
	windowBytes = 512 << 10
	// linkBytes is the approximate size of all sessions' replies ahead of a new command.
	linkBytes = 4 << 20
	// weighBytes is the number of reply bytes in a sample.
	weighBytes = 64 << 10
	// Replies become heavy at an average of heavyReply bytes, and light again below lightReply.
	heavyReply = 4 << 10
	lightReply = 1 << 10
	// heavyFor is how long new sessions of an identity start with a window of one command, after
	// one of them turned out to have heavy replies: many of them together would fill the link
	// before they are measured.
	heavyFor = int64(10 * time.Second)
)

// size is the largest number of outstanding commands.
func (w *window) size() int {
	if w.n == 0 {
		return windowStart
	}
	return w.n
}

// adjust sets the size by the size of the replies since the last adjust.
func (w *window) adjust() {
	each := w.bytes/max(w.replies, 1) + 1
	w.n = int(min(max(windowBytes/each, windowMin), windowMax))
	switch {
	case each >= heavyReply:
		w.heavy = true
	case each < lightReply:
		w.heavy = false
	}
	w.bytes, w.replies = 0, 0
}

// isFull reports whether a session of i with so many outstanding commands has used up its window.
func (w *window) isFull(outstanding int, i *identity, now int64) bool {
	size := w.size()
	if w.n == 0 && i.heavyAt != 0 && now-i.heavyAt < heavyFor {
		size = 1
	}
	return outstanding >= size
}

// weigh adjusts the window to the latest replies.
func (w *window) weigh(i *identity, now int64) {
	first := w.n == 0
	if w.adjust(); first && w.heavy {
		i.heavyAt = now
	}
}

// lane is the kind of lane for the session's ordinary commands.
func (w *window) lane() laneKind {
	if w.heavy {
		return laneBulk
	}
	return laneData
}

// weight tracks the size of a shared link's replies.
type weight struct {
	each     int    // bytes of a reply, lately
	bytes    uint64 // since the last sample
	answered int64  // commands answered by then
}

// sample takes a sample when so many commands were answered in all. The estimate falls slowly.
func (w *weight) sample(answered int64) {
	n := answered - w.answered
	if n <= 0 {
		return // a large reply has not ended
	}
	*w = weight{each: max(int(w.bytes)/int(n), w.each*7/8), answered: answered}
}

// awaits estimates the bytes of outstanding replies.
func (r *replies) awaits() int { return r.reqs.len() * r.weight.each }

// isHeavy reports whether the outstanding replies reach the link's bound.
func (l *link) isHeavy() bool {
	return l.awaits() > linkBytes && l.reqs.len() >= windowMin && l.lane != nil
}

// wakeable is the number of stalled sessions to resume now: those for whose commands there may be
// room. The next replies wake the others.
func (l *link) wakeable() int {
	if !l.ready || l.lane == nil || l.reqs.len() == 0 || l.leaving() || l.weight.each < heavyReply {
		return len(l.stalled)
	}
	return min(len(l.stalled), max((linkBytes-l.awaits())/windowBytes, 1))
}
