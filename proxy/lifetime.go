package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lifetime is the stages of a server: it starts, serves, drains and stops. Any goroutine may use it.
type lifetime struct {
	startedAt time.Time
	started   chan struct{} // closed when everything is up
	listening atomic.Bool
	draining  atomic.Bool

	failed    chan error    // the first error that ends the server
	drainNow  chan struct{} // closed when the console asks for the end
	drainOnce sync.Once

	serving     context.Context // ends when the drain begins
	stopServing context.CancelFunc
	dialCtx     context.Context // ends when nothing more is sent to the server
	stopDial    context.CancelFunc
	retired     sync.WaitGroup // goroutines that retire replaced parts, watch certificates, or note hits
}

// begin makes the lifetime one of a server that has not started.
func (l *lifetime) begin() {
	l.startedAt = time.Now()
	l.started, l.failed, l.drainNow = make(chan struct{}), make(chan error, 1), make(chan struct{})
	l.dialCtx, l.stopDial = context.WithCancel(context.Background())
	l.serving, l.stopServing = context.WithCancel(l.dialCtx)
}

// wait returns when the server should drain: at the end of ctx, at the console's request, when another process takes
// over, or after an error that ends the server.
func (l *lifetime) wait(ctx context.Context, asked <-chan struct{}) error {
	select {
	case <-ctx.Done():
	case <-l.drainNow:
	case <-asked:
	case err := <-l.failed:
		return err
	}
	return nil
}

// fail ends the server.
func (l *lifetime) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// askDrain begins the end. A second call does nothing.
func (l *lifetime) askDrain() { l.drainOnce.Do(func() { close(l.drainNow) }) }
