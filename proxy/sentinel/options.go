package sentinel

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"holdfast/proxy/certs"
	"holdfast/proxy/upstream"
)

// Options configure a Watcher. Addresses and Name are required.
type Options struct {
	// Addresses are the configured sentinels, host:port each.
	Addresses []string
	// Name is the name under which they watch the primary ("mymaster").
	Name string

	// Username and Password are the login at the sentinels. An empty Password sends no login; an
	// empty Username is the default user.
	Username, Password string
	// TLS secures the connections to the sentinels; nil: plain.
	TLS *certs.Client

	// Standing asks the server at an address for its role and its history. It may be called from
	// several goroutines at once, and returns at the end of ctx at the latest.
	Standing func(ctx context.Context, address string) (upstream.Standing, error)

	// Interval is the time between two questions to a sentinel, and to the primary about its role.
	// Zero is 1 s.
	Interval time.Duration
	// Hurry is the same while the primary is in doubt. Zero is 100 ms.
	Hurry time.Duration
	// Timeout bounds a dial with its login, and each answer. Zero is 1 s.
	Timeout time.Duration
	// MaxBackoff bounds the delay between attempts to reach a sentinel. Zero is 2 s.
	MaxBackoff time.Duration

	// OnChange, if set, is called after each change of the View, on the Watcher's goroutine, which
	// waits for it.
	OnChange func(*View)

	// Logger logs changes of the primary and of the sentinels; nil is slog.Default.
	Logger *slog.Logger
}

// Same reports whether Watchers of both options would ask the same sentinels in the same way.
func (o *Options) Same(p *Options) bool {
	if o == nil || p == nil {
		return o == p
	}
	return slices.Equal(o.Addresses, p.Addresses) && o.Name == p.Name && o.Username == p.Username &&
		o.Password == p.Password && o.TLS == p.TLS
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Interval, time.Second}, {&o.Hurry, 100 * time.Millisecond}, {&o.Timeout, time.Second},
		{&o.MaxBackoff, 2 * time.Second},
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

// dial opens a connection to a sentinel.
func (o *Options) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return o.TLS.Dial(ctx, (&net.Dialer{}).DialContext, "tcp", address)
}
