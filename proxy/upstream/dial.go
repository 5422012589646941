package upstream

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Dial opens one raw data connection. The name is looked up anew at every call and all of its
// addresses are tried, IPv6 and IPv4 in parallel (RFC 6555), within ConnectTimeout in all.
//
// No byte is sent on the connection; TCP_NODELAY and keepalive are set. Errors are those of
// net.Dialer: net.Error says whether it was a timeout. It blocks, so it belongs on a goroutine of
// its own and never on a loop.
func (u *Upstream) Dial(ctx context.Context) (net.Conn, error) {
	network, address := splitAddress(u.opts.Address)
	conn, err := u.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u.opts.Address, err)
	}
	return conn, nil
}

// splitAddress turns an address of the configuration into what net.Dial takes.
func splitAddress(address string) (network, rest string) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", address
}

// newDialer builds the dialer for data and control connections alike.
func newDialer(opts Options) Dialer {
	if opts.Dialer != nil {
		return opts.Dialer
	}
	d := &net.Dialer{
		Timeout:  opts.ConnectTimeout,
		Resolver: opts.Resolver,
		// A quarter of the idle time between probes, and three of them: a dead peer is noticed in
		// less than twice the idle time.
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   opts.KeepAlive > 0,
			Idle:     opts.KeepAlive,
			Interval: max(opts.KeepAlive/4, time.Second),
			Count:    3,
		},
	}
	if opts.KeepAlive < 0 {
		d.KeepAlive = -1
	}
	return d
}
