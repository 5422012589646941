package admin

import (
	"context"
	"sync"
	"time"
)

// Attempts throttles wrong passwords, per address (HostOf). The zero value is ready, and serves the console
// and the page alike, so that one is no way around the other. An address without a recent wrong password is
// checked at once. After a wrong one, its attempts are checked one after the other, wrongDelay
// apart, and the delay grows with each wrong one. An attempt takes its turn before the check of the
// password, so disconnecting early or opening many connections gains nothing.
type Attempts struct {
	mu    sync.Mutex
	hosts map[string]*hostAttempts
}

type hostAttempts struct {
	wrong   int       // in a row
	next    time.Time // when the next attempt is checked
	waiting int
	last    time.Time // the newest wrong one
}

const (
	wrongDelay    = 100 * time.Millisecond // after the first; doubles up to wrongDelayMax
	wrongDelayMax = time.Second
	// wrongWaiting is the number of attempts of an address that may wait for their turn; more are
	// refused.
	wrongWaiting = 4
	// wrongForgotten is how long an address is remembered.
	wrongForgotten = 10 * time.Minute
	maxHosts       = 4096
)

func (h *hostAttempts) delay() time.Duration {
	return min(wrongDelay<<min(max(h.wrong-1, 0), 10), wrongDelayMax)
}

// Check runs ok when it is the address's turn, and returns its result. A wrong attempt returns
// late. The error, for people, says that too many attempts wait; or it is of ctx.
func (a *Attempts) Check(ctx context.Context, host string, ok func() bool) (bool, error) {
	wait, queued, err := a.turn(host)
	if err == nil {
		err = pause(ctx, wait)
	}
	if err != nil {
		if queued {
			a.done(host, true, true)
		}
		return false, err
	}
	right := ok()
	return right, pause(ctx, a.done(host, queued, right))
}

// turn reserves a turn, and returns the wait for it. queued: it counts as waiting.
func (a *Attempts) turn(host string) (wait time.Duration, queued bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	h := a.hosts[host]
	switch {
	case h == nil, now.Sub(h.last) > wrongForgotten && h.waiting == 0:
		return 0, false, nil
	case h.waiting >= wrongWaiting:
		return 0, false, errTooManyAttempts
	}
	h.waiting++
	start := h.next
	if start.Before(now) {
		start = now
	}
	h.next = start.Add(h.delay())
	return start.Sub(now), true, nil
}

// done notes the outcome, and returns the delay of the answer to a wrong attempt.
func (a *Attempts) done(host string, queued, right bool) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.hosts[host]
	if h != nil && queued {
		h.waiting--
	}
	if right {
		return 0
	}
	now := time.Now()
	if h == nil {
		if a.forget(now); len(a.hosts) >= maxHosts {
			clear(a.hosts)
		}
		h = &hostAttempts{}
		if a.hosts == nil {
			a.hosts = map[string]*hostAttempts{}
		}
		a.hosts[host] = h
	}
	h.wrong, h.last = h.wrong+1, now
	if end := now.Add(h.delay()); h.next.Before(end) {
		h.next = end
	}
	return h.delay()
}

// forget drops addresses without a recent wrong attempt.
func (a *Attempts) forget(now time.Time) {
	for host, h := range a.hosts {
		if now.Sub(h.last) > wrongForgotten && h.waiting == 0 {
			delete(a.hosts, host)
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
