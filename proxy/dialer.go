package proxy

import (
	"time"

	"holdfast/proxy/upstream"
)

// dialer paces dials of the upstream after failures.
type dialer struct {
	backoff upstream.Backoff
	next    int64 // earliest loop time of the next dial
	cause   error // of the last failure
}

// wait returns the time until the next attempt, in nanoseconds; 0 or less: now.
func (d *dialer) wait(now int64) int64 { return d.next - now }

func (d *dialer) failed(now int64, err error) time.Duration {
	if now < d.next {
		return time.Duration(d.next - now) // concurrent attempts fail together and count once
	}
	wait := d.backoff.Next()
	d.next, d.cause = now+int64(wait), err
	return wait
}

func (d *dialer) succeeded() {
	d.backoff.Reset()
	d.next, d.cause = 0, nil
}

// beginDial opens the connection of l on a goroutine of its own. ended runs on the loop after
// success or failure.
func (w *worker) beginDial(l *link, ended func()) {
	w.dialSeq++
	l.DialNo, l.RunID = w.dialSeq, w.knownRunID()
	w.dials.Add(1)
	go w.dialLink(w.ctx, l, l.up, l.ident.credential().Certificate, ended)
}
