package proxy

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A loop that does not turn is no sign of life, and one that turns again is.
func TestAlive(t *testing.T) {
	serving, draining := 0, 0
	inBubble(t, nil, func(b *bubble) {
		if err := b.srv.Alive(b.t.Context()); err != nil || serving != 1 || draining != 0 {
			t.Error(err, serving, draining)
		}
		release := make(chan struct{})
		b.w.loop.Post(func() { <-release })
		ctx, cancel := context.WithTimeout(b.t.Context(), time.Second)
		defer cancel()
		if err := b.srv.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the loop stands: %v", err)
		}
		close(release)
		if err := b.srv.Alive(b.t.Context()); err != nil {
			t.Error(err)
		}
	}, func(o *Options) {
		o.Serving, o.Draining = func() { serving++ }, func() { draining++ }
	})
	if draining != 1 {
		t.Errorf("Draining was called %d times", draining)
	}
}
