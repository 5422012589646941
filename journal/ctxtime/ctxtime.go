// Package ctxtime holds time functions that end with a context.
package ctxtime

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx ends, and then returns its error. It does not wait if d is not
// positive.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
