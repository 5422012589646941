package proxy

import (
	"context"
	"sync"

	"holdfast/proxy/eventloop"
)

// loops are the proxy's workers, one per event loop. The start adds and begins them, and from then
// on the set is immutable: any goroutine may ask it, except a loop's own.
type loops struct {
	workers []*worker
	of      map[*eventloop.Loop]*worker
	running sync.WaitGroup
}

func newLoops() *loops { return &loops{of: map[*eventloop.Loop]*worker{}} }

func (l *loops) add(w *worker) {
	l.workers = append(l.workers, w)
	l.of[w.loop] = w
}

// begin starts the goroutines of all workers.
func (l *loops) begin() {
	for _, w := range l.workers {
		l.running.Go(w.run)
	}
}

// stop ends all loops and waits for their goroutines.
func (l *loops) stop() {
	for _, w := range l.workers {
		w.loop.Stop()
	}
	l.running.Wait()
}

// all returns the event loops in the order of the workers.
func (l *loops) all() []*eventloop.Loop {
	out := make([]*eventloop.Loop, len(l.workers))
	for i, w := range l.workers {
		out[i] = w.loop
	}
	return out
}

// each posts f to every worker.
func (l *loops) each(f func(w *worker)) {
	for _, w := range l.workers {
		w.loop.Post(func() { f(w) })
	}
}

// alive returns nil once every event loop has turned, and else the error of ctx.
func (l *loops) alive(ctx context.Context) error {
	_, err := gather(ctx, l, func(*worker) struct{} { return struct{}{} })
	return err
}

// gather runs f on every loop and returns the results in the order of the workers. Call it from any
// goroutine but a loop's.
func gather[T any](ctx context.Context, l *loops, f func(*worker) T) ([]T, error) {
	type part struct {
		i int
		v T
	}
	parts := make(chan part, len(l.workers))
	for i, w := range l.workers {
		if !w.loop.Post(func() { parts <- part{i, f(w)} }) {
			return nil, ErrServerClosed
		}
	}
	out := make([]T, len(l.workers))
	for range l.workers {
		select {
		case p := <-parts:
			out[p.i] = p.v
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// gatherSlices asks one worker after the other for its items, and then for a description of each,
// censusSlice of them in one loop iteration.
func gatherSlices[X, T any](ctx context.Context, l *loops, all func(*worker) []X, describe func(X) (T, bool),
) ([]T, error) {
	var out []T
	for _, w := range l.workers {
		left, err := onLoop(ctx, w, func() []X { return all(w) })
		for err == nil && len(left) > 0 {
			now := left[:min(len(left), censusSlice)]
			left = left[len(now):]
			var part []T
			part, err = onLoop(ctx, w, func() []T {
				part := make([]T, 0, len(now))
				for _, x := range now {
					if t, ok := describe(x); ok {
						part = append(part, t)
					}
				}
				return part
			})
			out = append(out, part...)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// onLoop runs f on a worker's loop and returns its result.
func onLoop[T any](ctx context.Context, w *worker, f func() T) (t T, err error) {
	done := make(chan T, 1)
	if !w.loop.Post(func() { done <- f() }) {
		return t, ErrServerClosed
	}
	select {
	case t = <-done:
		return t, nil
	case <-ctx.Done():
		return t, ctx.Err()
	}
}
