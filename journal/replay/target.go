package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// target is the server that is restored.
type target struct {
	opts       RestoreOptions
	conn       *wire.Conn
	version    string
	advertised string // where it was told to come
}

// openTarget connects and makes sure that the server may be overwritten.
func openTarget(ctx context.Context, o RestoreOptions) (*target, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, wire.Endpoint{Address: o.Target, Username: o.Username,
		Password: o.Password, Dial: o.Dial})
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", o.Target, err)
	}
	t := &target{opts: o, conn: conn}
	if err := t.examine(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

func (t *target) examine(ctx context.Context) error {
	info, err := t.info(ctx)
	if err != nil {
		return err
	}
	switch {
	case info["role"] == "":
		return fmt.Errorf("%w: its INFO is not that of a server", ErrTarget)
	case info["cluster_enabled"] == "1":
		return fmt.Errorf("%w: it is a cluster node; restore a server of its own instead", ErrTarget)
	case info["loading"] == "1":
		return fmt.Errorf("%w: it is still loading", ErrTarget)
	case info["role"] != "master":
		return fmt.Errorf("%w: it is a replica of %s:%s; promote it first", ErrTarget,
			info["master_host"], info["master_port"])
	}
	if !t.opts.Force && t.recorded(info["master_replid"]) {
		return fmt.Errorf("%w: it would go back to the point and lose all since; to do that, force it",
			ErrRecorded)
	}
	var holds []string
	for key, value := range info {
		if strings.HasPrefix(key, "db") && strings.HasPrefix(value, "keys=") {
			holds = append(holds, key+": "+value)
		}
	}
	if n := info["number_of_functions"]; n != "" && n != "0" {
		holds = append(holds, n+" functions")
	}
	if len(holds) > 0 && !t.opts.Force {
		return fmt.Errorf("%w: %s; to overwrite it, force it", ErrNotEmpty, strings.Join(holds, ", "))
	}
	t.version = version(info)
	t.advise(info)
	return nil
}

// advise says what makes the restore slower than it needs to be. Changing a server's settings is
// left to those who know why they are so.
func (t *target) advise(info map[string]string) {
	if info["aof_enabled"] == "1" {
		t.opts.Logger.Warn("the target has appendonly yes: it will write the whole stream to its own " +
			"file, too, which takes time; CONFIG SET appendonly no before a restore and yes after it " +
			"spares that")
	}
	if n := info["connected_slaves"]; n != "" && n != "0" {
		t.opts.Logger.Warn("the target has replicas: each will be sent everything anew", "replicas", n)
	}
}

// recorded reports whether the target is the very server that the journal records, perhaps behind a
// proxy: no other primary has a replication id of the journal's.
func (t *target) recorded(replID string) bool {
	return slices.ContainsFunc(t.opts.View.Timelines(), func(tl journal.Timeline) bool {
		return tl.ReplID == replID
	})
}

// hasRoom reports a target that holds everything and more than its maxmemory, which only binds
// primaries: it would evict some of it as soon as it is one.
func (t *target) hasRoom(ctx context.Context) error {
	info, err := t.info(ctx, "memory")
	if err != nil {
		return err
	}
	number := func(field string) int64 {
		n, _ := strconv.ParseInt(info[field], 10, 64) // a field that is not there limits nothing
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
// answers nobody, and no harm is done by waiting.
func (t *target) info(ctx context.Context, section ...string) (map[string]string, error) {
	v, err := t.conn.Do(ctx, append([]string{"INFO"}, section...)...)
	if err != nil {
		return nil, t.refused("INFO", err)
	}
	text, _ := v.(string)
	return wire.Fields(text), nil
}

func version(info map[string]string) string {
	if v := info["valkey_version"]; v != "" {
		return v
	}
	return info["redis_version"]
}

// refused wraps an error reply of the target.
func (t *target) refused(command string, err error) error {
	var reply wire.Error
	if errors.As(err, &reply) {
		return fmt.Errorf("%w: %s: %s", ErrTarget, command, reply)
	}
	return fmt.Errorf("target %s: %s: %w", t.opts.Target, command, err)
}

// listen opens the address where the target comes for the data, and returns what the target is
// told. Where nothing else is said, that is the address from which we reach the target.
func (t *target) listen(ctx context.Context) (ln net.Listener, advertise string, err error) {
	local := "127.0.0.1" // the target is on this machine if it is on a unix socket
	if a, ok := t.conn.LocalAddr().(*net.TCPAddr); ok {
		local = a.IP.String()
	}
	address := t.opts.Listen
	if address == "" {
		address = net.JoinHostPort(local, "0")
	}
	ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil || t.opts.Advertise != "" {
		return ln, t.opts.Advertise, err
	}
	a := ln.Addr().(*net.TCPAddr) // as it was asked for
	if !a.IP.IsUnspecified() {
		local = a.IP.String()
	}
	return ln, net.JoinHostPort(local, strconv.Itoa(a.Port)), nil
}

// isTarget admits the machine that the target is on, and this one: whoever may connect is given
// everything. With an address of one's own to advertise there is something in between, whose
// address is not known.
func (t *target) isTarget(remote net.Addr) bool {
	a, ok := remote.(*net.TCPAddr)
	if !ok {
		return false
	}
	if t.opts.Advertise != "" || a.IP.IsLoopback() {
		return true
	}
	peer, ok := t.conn.RemoteAddr().(*net.TCPAddr)
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
