package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"holdfast/proxy/certs"
	"holdfast/proxy/eventloop"
)

// Dial opens one raw data connection. Each call resolves the name again and tries all of its
// addresses, IPv6 and IPv4 in parallel (RFC 6555), within ConnectTimeout in all. With TLS the
// handshake is done, within ConnectTimeout again, and the connection is an eventloop.Secure.
//
// No other byte is sent on the connection; TCP_NODELAY and keepalive are set. Errors are those of
// net.Dialer: net.Error says whether it was a timeout. It blocks: never call it on a loop.
func (u *Upstream) Dial(ctx context.Context) (net.Conn, error) { return u.DialAs(ctx, nil) }

// DialAs is Dial with another client certificate than that of Options.TLS; nil: with that.
func (u *Upstream) DialAs(ctx context.Context, cert *tls.Certificate) (net.Conn, error) {
	network, address := eventloop.SplitAddress(u.opts.Address)
	conn, err := u.dialTo(ctx, network, address, cert)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", u.opts.Address, err)
	}
	return conn, nil
}

// dialTo opens a connection to the server or to a replica of it.
func (u *Upstream) dialTo(ctx context.Context, network, address string,
	cert *tls.Certificate) (net.Conn, error) {
	conn, err := u.dialer.DialContext(ctx, network, address)
	if err != nil || u.opts.TLS == nil {
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.opts.ConnectTimeout)
	defer cancel()
	config := u.opts.TLS.Config(network, address)
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	s := eventloop.Client(conn, config)
	if err := s.Shake(ctx, nil); err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: %w", ErrHandshake, certs.Explain(err))
	}
	return s, nil
}

// newDialer builds the dialer for data and control connections alike.
func newDialer(opts Options) Dialer {
	if opts.Dialer != nil {
		return opts.Dialer
	}
	d := &net.Dialer{
		Timeout:  opts.ConnectTimeout,
		Resolver: opts.Resolver,
		// Three probes, a quarter of the idle time apart: a dead peer is noticed in less than twice
		// the idle time.
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
