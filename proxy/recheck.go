package proxy

import (
	"time"

	"holdfast/proxy/upstream"
)

// recheck has the server checked when its answers show that it refuses commands: a busy server is
// otherwise checked only every few seconds (upstream.Seen).
type recheck struct{ next int64 }

// recheckPause is the least time between two checks after errors.
const recheckPause = int64(500 * time.Millisecond)

// onError is called for each of the server's errors.
func (r *recheck) onError(w *worker, reply []byte, now int64) {
	if now >= r.next && upstream.ShowsRefusal(reply) {
		r.next = now + recheckPause
		w.up.Recheck()
	}
}
