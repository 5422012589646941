package proxy

import (
	"time"

	"holdfast/proxy/upstream"
)

// dialer paces attempts to reach the upstream after failures.
type dialer struct {
	backoff upstream.Backoff
	next    int64 // loop time before which nothing is dialled
	cause   error // of the last failure
}

// wait is how long the next attempt has to wait, in nanoseconds; 0 or less: it may be made.
func (d *dialer) wait(now int64) int64 { return d.next - now }

func (d *dialer) failed(now int64, err error) time.Duration {
	if now < d.next {
		return time.Duration(d.next - now) // several attempts of one moment fail together
	}
	wait := d.backoff.Next()
	d.next, d.cause = now+int64(wait), err
	return wait
}

func (d *dialer) succeeded() {
	d.backoff.Reset()
	d.next, d.cause = 0, nil
}

// dial opens the connection of l on a goroutine of its own.
func (w *worker) dial(l *link) {
	w.dialSeq++
	l.dialNo, l.runID = w.dialSeq, w.knownRunID()
	w.dials.Add(1)
	go w.dialLink(w.ctx, l, l.up)
}
