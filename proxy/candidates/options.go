package candidates

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// Options configure a Watcher. Addresses and Open are required.
type Options struct {
	// Addresses are the candidates: host:port, [v6]:port or unix:/path each, without duplicates.
	Addresses []string

	// Open opens a connection to a candidate, which ends with ctx. It is called from several
	// goroutines at once.
	Open func(ctx context.Context, address string) (Conn, error)

	// Interval is the time between two questions to a candidate. Zero is 1 s.
	Interval time.Duration
	// Hurry is the same while the primary is not known, in doubt, or does not answer. Zero is 100 ms.
	Hurry time.Duration
	// Renew is how long a connection is used: behind a name there may be another server meanwhile.
	// Zero is 10 s.
	Renew time.Duration

	// OnChange, if set, is called after each change of the View that is more than an offset, on the
	// Watcher's goroutine, which waits for it.
	OnChange func(*View)

	// Known, if set, is a primary from before. If it was watched up to now, and is a candidate here, it stays the
	// primary; otherwise it is evidence for the first judgement.
	Known *Known

	// Logger logs changes of the primary and of the candidates; nil is slog.Default.
	Logger *slog.Logger
}

// Same reports whether Watchers of both options would ask the same candidates.
func (o *Options) Same(p *Options) bool {
	if o == nil || p == nil {
		return o == p
	}
	return slices.Equal(o.Addresses, p.Addresses)
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Interval, time.Second}, {&o.Hurry, 100 * time.Millisecond}, {&o.Renew, 10 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}
