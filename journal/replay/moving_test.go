package replay_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// TestRemovedMeanwhile: a journal whose files go away under a restore, as retention removes them,
// ends it with an error.
func TestRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	for _, pattern := range []string{"*.rdb", "*2.seg", "*.seg"} {
		t.Run(pattern, func(t *testing.T) {
			r := record(t, srv)
			for i := range 5 {
				srv.MustDo("SET", "k"+itoa(i), strings.Repeat("x", 1<<20))
			}
			r.caughtUp()
			r.stop()
			dst := r.fresh()
			plan, view := r.plan(), r.view()
			files, err := filepath.Glob(filepath.Join(r.dir, pattern))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, f := range files {
				check(t, os.Remove(f))
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err = replay.Restore(ctx, replay.RestoreOptions{View: view, Plan: plan, Target: dst.Addr,
				Logger: logger()})
			if err == nil || ctx.Err() != nil || !errors.Is(err, os.ErrNotExist) {
				t.Errorf("got %v, want %v", err, os.ErrNotExist)
			}
		})
	}
}

// TestWritableTarget: a replica that takes writes would not hold what was recorded.
func TestWritableTarget(t *testing.T) {
	t.Parallel()
	r := small(t)
	dst := proxytest.StartServer(t, append([]string{"--replica-read-only", "no"}, serverArgs...)...)
	if err := r.restoreInto(dst); !errors.Is(err, replay.ErrTarget) ||
		!strings.Contains(err.Error(), "nothing was touched") {
		t.Errorf("got %v", err)
	}
	dst.MustDo("ACL", "SETUSER", "restorer", "on", "nopass", "+info", "+replicaof")
	err := r.restoreInto(dst, func(o *replay.RestoreOptions) { o.Username = "restorer" })
	if !errors.Is(err, replay.ErrTarget) || !strings.Contains(err.Error(), "own data is untouched") ||
		dst.Info("replication")["role"] != "master" {
		t.Errorf("got %v", err)
	}
}

// beforeWrite calls a function before the first write that has a word in it.
type beforeWrite struct {
	net.Conn
	word string
	call func()
}

func (c *beforeWrite) Write(p []byte) (int, error) {
	if c.call != nil && bytes.Contains(p, []byte(c.word)) {
		c.call()
		c.call = nil
	}
	return c.Conn.Write(p)
}

// TestTakenAtTheEnd: another restore takes the target just before it is promoted.
func TestTakenAtTheEnd(t *testing.T) {
	t.Parallel()
	r := small(t)
	other := proxytest.StartServer(t, serverArgs...)
	other.MustDo("SET", "other", 1)
	dst := r.fresh()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := replay.Restore(ctx, replay.RestoreOptions{Plan: r.plan(), View: r.view(), Target: dst.Addr,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return &beforeWrite{conn, "\r\nONE\r\n", func() { follow(t, dst, other) }}, err
		}})
	if !errors.Is(err, replay.ErrTaken) || !strings.Contains(err.Error(), "is a primary and holds db0: 1 key") {
		t.Errorf("got %v", err)
	}
}

func follow(t *testing.T, srv, primary *proxytest.Server) {
	t.Helper()
	host, port, err := net.SplitHostPort(primary.Addr)
	check(t, err)
	srv.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the replica", func() bool { return isLinked(srv.Info("replication")) })
}
