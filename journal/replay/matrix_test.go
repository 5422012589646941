package replay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// matrixWrites has every type, and what newer servers know beside it; what a server does not know it
// refuses. Scores are whole numbers: Redis 7.0 words others differently in its digest.
func matrixWrites(srv *proxytest.Server, prefix string) {
	long := strings.Repeat("0123456789", 30)
	for _, c := range [][]any{
		{"SET", "s", 12345}, {"SET", "ttl", long, "EX", 10000}, {"APPEND", "s", "x"},
		{"RPUSH", "l", 1, long, "a"}, {"LPOP", "l"}, {"SADD", "ints", 1, 2, 3}, {"SADD", "set", "a", long},
		{"SPOP", "set"}, {"ZADD", "z", 1, "a", 2, long}, {"ZINCRBY", "z", 3, "a"},
		{"HSET", "h", "f", "v", "g", long}, {"HINCRBY", "h", "n", 3},
		{"XADD", "x", "*", "a", 1}, {"XADD", "x", "MAXLEN", 5, "*", "a", long},
		{"XGROUP", "CREATE", "x", "g", "0"}, {"XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">"},
		{"PFADD", "hll", "a", "b"}, {"GEOADD", "geo", 13, 38, "here"}, {"SETBIT", "bits", 77, 1},
		{"COPY", "s", "s2", "DB", 3}, {"MOVE", "ttl", 2}, {"SWAPDB", 4, 5},
		{"EVAL", "redis.call('SET', KEYS[1], 'lua') return redis.call('INCR', KEYS[2])", 2, "e", "n"},
		{"FUNCTION", "LOAD", "REPLACE", "#!lua name=l\nredis.register_function('f', function() return 1 end)"},
		{"HEXPIRE", "h", 10000, "FIELDS", 1, "f"}, {"HPERSIST", "h", "FIELDS", 1, "g"},
		{"HSETEX", "hx", "EX", 10000, "FIELDS", 1, "f", "v"}, {"HGETDEL", "h", "FIELDS", 1, "n"},
		{"HGETEX", "hx", "EX", 20000, "FIELDS", 1, "f"}, {"SET", "s", "y", "IFEQ", "12345x"},
		{"DELIFEQ", "e", "lua"}, {"MSETEX", 2, "m1", "v", "m2", "v", "EX", 10000},
		{"VADD", "vec", "VALUES", 2, 1, 2, "element"}, {"XDELEX", "x", "IDS", 1, "1-1"},
		{"PUBLISH", "channel", "message"}, {"FLUSHALL"}, {"SET", "last", 1},
		{"RPUSH", "l", 1, long}, {"HSET", "h", "f", "v"}, {"ZADD", "z", 1, "a"},
	} {
		for i, a := range c {
			if key, ok := a.(string); ok && i == 1 && c[0] != "EVAL" && c[0] != "FUNCTION" && c[0] != "XGROUP" {
				c[i] = prefix + key
			}
		}
		if c[0] == "FLUSHALL" && prefix == "base:" {
			return
		}
		_, _ = srv.Do(c...) // refused by those that do not know it
	}
}

// TestMatrix restores the journal of each version into each version. A cell is exact, or it is
// refused before anything is touched.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, from := range proxytest.Matrix(t) {
		for _, deadlines := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, deadlines %t", from, deadlines), func(t *testing.T) {
				t.Parallel()
				restoreEverywhere(t, from, deadlines)
			})
		}
	}
}

// restoreEverywhere restores the journal of one version into each version.
func restoreEverywhere(t *testing.T, from proxytest.Binary, deadlines bool) {
	srv := proxytest.Spec{Kind: from.Kind, Args: serverArgs}.Start(t)
	matrixWrites(srv, "base:")
	if !deadlines {
		srv.MustDo("DEL", "base:hx", "base:h") // Valkey 9 chooses its format by them
	}
	r := record(t, srv)
	srv.MustDo("SET", "plain", 1)
	if deadlines {
		matrixWrites(srv, "stream:")
	}
	want, end := digest(srv), r.caughtUp()
	r.stop()
	for _, to := range proxytest.Matrix(t) {
		dst, dir := withDumpOf(t, to.Kind, nil)
		before := state(t, dst, dir)
		got := ""
		var pre *replay.PreflightError
		err := r.restoreInto(dst, inspect(func() { got = digest(dst) }))
		switch {
		case err == nil && got == want:
			t.Logf("into %v: exact", to)
		case errors.As(err, &pre) && state(t, dst, dir) == before && from.Kind != to.Kind:
			t.Logf("into %v: %v", to, err)
		default:
			t.Errorf("into %v: digest %s, want %s at %d: %v", to, got, want, end, err)
		}
		dst.Stop()
	}
}

// inspect looks at a target that has come to the point.
func inspect(fn func()) func(*replay.RestoreOptions) {
	return func(o *replay.RestoreOptions) {
		o.Inspect = func(context.Context) error { fn(); return nil }
	}
}

// TestServedToOlderVersion: a server that comes by itself is not given a base that it says it cannot
// load, and keeps its own data.
func TestServedToOlderVersion(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey9", Args: serverArgs}.Start(t)
	srv.MustDo("HSET", "h", "f", "v")
	srv.MustDo("HEXPIRE", "h", 1000, "FIELDS", 1, "f")
	r := record(t, srv)
	for _, to := range proxytest.Matrix(t) {
		dst, dir := withDumpOf(t, to.Kind, nil)
		own := digest(dst)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		p := replay.NewPrimary(replay.PrimaryOptions{Plan: r.plan(), View: r.view()})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- p.Serve(ctx, ln) }()
		host, port, _ := strings.Cut(ln.Addr().String(), ":")
		dst.MustDo("REPLICAOF", host, port)
		if to.Kind == "valkey9" {
			proxytest.Poll(t, "the point", func() bool { return digest(dst) == digest(srv) })
		} else {
			proxytest.Poll(t, "a refusal", func() bool {
				return errors.Is(p.Progress().LastErr, replay.ErrRejected)
			})
			dst.MustDo("REPLICAOF", "NO", "ONE")
			dump, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
			if digest(dst) != own || err != nil || len(dump) == 0 || p.Progress().Attempts != 0 {
				t.Errorf("%v holds something else now (%v)", to, err)
			}
		}
		cancel()
		check(t, <-done)
	}
}
