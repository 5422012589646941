package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// target is the server that is restored.
type target struct {
	opts       RestoreOptions
	conn       *wire.Conn
	advertised string   // where it was told to come
	peer       net.Addr // where it is, once it is listened for
	before     look     // as it was found
	byTLS      bool     // it replicates over TLS; false, the default, also if its user may not ask
	tail       *Tail    // of the recorded server; nil: it is another one
}

// openTarget connects.
func openTarget(ctx context.Context, o RestoreOptions) (*target, error) {
	t := &target{opts: o}
	if err := t.dial(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *target) endpoint() wire.Endpoint {
	return wire.Endpoint{Address: t.opts.Target, Username: t.opts.Username,
		Password: t.opts.Password, Dial: t.opts.Dial, Serve: t.opts.Serve}
}

// openEndpoint is openTarget for an endpoint; o has the other options.
func openEndpoint(ctx context.Context, e wire.Endpoint, o RestoreOptions) (*target, error) {
	o.Target, o.Username, o.Password, o.Dial, o.Serve = e.Address, e.Username, e.Password, e.Dial, e.Serve
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return openTarget(ctx, o)
}

// dial connects, replacing the previous connection, if there was one.
func (t *target) dial(ctx context.Context) error {
	if t.conn != nil {
		t.conn.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, t.endpoint())
	if err != nil {
		return fmt.Errorf("target %s: %w", t.opts.Target, err)
	}
	t.conn = conn
	return nil
}

// recorded reports whether the target is the very server that the journal records, perhaps behind a
// proxy: no other primary has a replication id of the journal's.
func (t *target) recorded(replID string) bool {
	return slices.ContainsFunc(t.opts.View.Timelines(), func(tl journal.Timeline) bool {
		return tl.ReplID == replID
	})
}

// hasRoom reports a target whose data exceeds its maxmemory, which only binds primaries: it would
// evict keys as soon as it is one.
func (t *target) hasRoom(info map[string]string) error {
	number := func(field string) int64 {
		n, _ := strconv.ParseInt(info[field], 10, 64) // a missing field limits nothing
		return n
	}
	limit, policy := number("maxmemory"), info["maxmemory_policy"]
	used := number("used_memory") - number("mem_not_counted_for_evict")
	if limit == 0 || used <= limit || policy == "" || policy == "noeviction" {
		return nil
	}
	return fmt.Errorf("%w: it holds everything now, which takes %d bytes, and with %d and %s it "+
		"would evict some as a primary; it was left a replica: give it more, then REPLICAOF NO ONE",
		ErrTooSmall, used, limit, policy)
}

// info asks INFO, without a limit of its own: while a target empties itself of a large data set it
// answers no client, and waiting does no harm.
func (t *target) info(ctx context.Context, section ...string) (map[string]string, error) {
	v, err := t.conn.Do(ctx, append([]string{"INFO"}, section...)...)
	if err != nil {
		return nil, t.refused("INFO", err)
	}
	text, _ := v.(string)
	return wire.Fields(text), nil
}

// refused wraps an error reply of the target.
func (t *target) refused(command string, err error) error {
	var reply wire.Error
	if errors.As(err, &reply) {
		return fmt.Errorf("%w: %s: %w", ErrTarget, command, reply)
	}
	return fmt.Errorf("target %s: %s: %w", t.opts.Target, command, err)
}

// listen opens the address where the target comes for the data, and returns the address to
// advertise. By default that is the address from which we reach the target. It comes behind the
// preflight, which finds out whether the target replicates over TLS.
func (t *target) listen(ctx context.Context) (ln net.Listener, advertise string, err error) {
	t.peer = t.conn.RemoteAddr()
	local := "127.0.0.1" // the target is on this machine if it is on a unix socket
	if a, ok := t.conn.LocalAddr().(*net.TCPAddr); ok {
		local = a.IP.String()
	}
	address := t.opts.Listen
	if address == "" {
		address = net.JoinHostPort(local, "0")
	}
	ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, "", err
	}
	a := ln.Addr().(*net.TCPAddr) // the type requested
	if t.byTLS && t.opts.Serve != nil {
		ln = tls.NewListener(ln, t.opts.Serve)
	}
	if t.opts.Advertise != "" {
		return ln, t.opts.Advertise, nil
	}
	if !a.IP.IsUnspecified() {
		local = a.IP.String()
	}
	return ln, net.JoinHostPort(local, strconv.Itoa(a.Port)), nil
}

// isTarget admits the target's machine, and this one: an admitted peer is given everything. With an
// address of one's own to advertise there is an intermediate machine of unknown address.
func (t *target) isTarget(remote net.Addr) bool {
	a, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	if t.opts.Advertise != "" || a.IP.IsLoopback() {
		return true
	}
	peer, ok := t.peer.(*net.TCPAddr)
	return ok && peer.IP.Equal(a.IP)
}

func (t *target) replicaOf(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	t.advertised = address
	return t.do(ctx, "REPLICAOF", host, port)
}

func (t *target) do(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if _, err := t.conn.Do(ctx, args...); err != nil {
		return t.refused(args[0], err)
	}
	return nil
}
