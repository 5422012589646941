package proxy

import "holdfast/proxy/upstream"

// departed are the ids of recently closed links. The server lists such a connection until it sees
// the close, so the census must still count it as the proxy's.
type departed struct{ ids []departedLink }

type departedLink struct {
	id    int64
	up    *upstream.Upstream
	runID string // the server's process: each counts ids from 1
	at    int64  // loop time
}

const (
	departedFor  = int64(10e9)
	departedMost = 1024
)

// add notes a closing link.
func (d *departed) add(l *link) {
	now := l.w.loop.Now()
	for len(d.ids) > 0 && (len(d.ids) >= departedMost || now-d.ids[0].at > departedFor) {
		d.ids = d.ids[1:]
	}
	if l.serverID != 0 {
		d.ids = append(d.ids, departedLink{l.serverID, l.up, l.w.knownRunID(), now})
	}
}

// count adds the ids of the current server process to a census.
func (d *departed) count(w *worker, c *census) {
	run := w.knownRunID()
	for _, l := range d.ids {
		if l.up == w.up && l.runID == run && w.loop.Now()-l.at <= departedFor {
			c.links[l.id] = struct{}{}
		}
	}
}
