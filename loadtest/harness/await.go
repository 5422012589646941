package harness

import (
	"context"
	"fmt"
	"time"
)

// Await polls until a condition holds. The condition gets the context that limit bounds.
func Await(ctx context.Context, what string, limit, every time.Duration, ok func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, ctx.Err())
		}
	}
	return nil
}
