package sentinel

import (
	"context"

	"holdfast/proxy/resp"
)

// Ask sends one command to a sentinel, on a connection of its own, and returns its reply. An error
// that is a *Refusal is the sentinel's; after any other one the command may have been executed.
func (w *Watcher) Ask(ctx context.Context, address string, args ...string) (v resp.Value, err error) {
	c, end, err := w.o.open(ctx, address)
	if err != nil {
		return v, &Refusal{err.Error()} // it was not sent
	}
	defer end()
	if err := c.greet(ctx); err != nil {
		return v, &Refusal{err.Error()}
	}
	if v, err = c.call(ctx, args...); v.Type == '-' {
		err = &Refusal{string(v.Str)}
	}
	return v, err
}

// A Refusal says why a sentinel has not executed a command.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }
