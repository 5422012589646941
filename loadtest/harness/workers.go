package harness

import (
	"context"
	"sync"
	"time"
)

// Workers are the clients of a load and their connections, from NewWorkers to Stop. They may be used from
// several goroutines.
type Workers struct {
	began   time.Time
	ending  chan struct{} // closed by Stop
	working sync.WaitGroup

	mu     sync.Mutex
	conns  map[*Client]struct{}
	closed bool // no new connections
}

// NewWorkers begins a load.
func NewWorkers() *Workers {
	return &Workers{began: time.Now(), ending: make(chan struct{}), conns: map[*Client]struct{}{}}
}

// Go starts a worker, which ends soon once Stopping holds.
func (l *Workers) Go(work func()) { l.working.Go(work) }

// Stop ends the load: workers have grace for their current step, then it closes their connections. It
// joins them. Commands that are still without a reply are unknown.
func (l *Workers) Stop(grace time.Duration) {
	close(l.ending)
	force := time.AfterFunc(grace, l.closeAll)
	l.working.Wait()
	force.Stop()
	l.closeAll()
}

func (l *Workers) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
}

// Clock is the time since the load began.
func (l *Workers) Clock() time.Duration { return time.Since(l.began) }

// Stopping reports that Stop was called.
func (l *Workers) Stopping() bool {
	select {
	case <-l.ending:
		return true
	default:
		return false
	}
}

// Pause waits a while, or until Stop.
func (l *Workers) Pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ending:
	}
}

// Dial is DialClient for a connection that Stop closes. After the grace it fails.
func (l *Workers) Dial(addr string, timeout time.Duration) (*Client, error) {
	c, err := DialClient(addr, timeout)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return nil, context.Canceled
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Drop closes a connection of Dial's.
func (l *Workers) Drop(c *Client) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	c.Close()
}
