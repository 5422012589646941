package replay_test

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

// recording is a journal that is attached to a server.
type recording struct {
	t       testing.TB
	srv     *proxytest.Server
	dir     string
	journal *journal.Journal
	tap     *tap.Tap
	mark    time.Duration // 0: none
	stop    func()
}

// serverArgs are what the tests want of every server besides proxytest's own.
var serverArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
	"--enable-debug-command", "yes"}

// record attaches a journal to a server; it ends with the test.
func record(t testing.TB, srv *proxytest.Server) *recording {
	t.Helper()
	r := &recording{t: t, srv: srv, dir: t.TempDir()}
	r.again()
	return r
}

// again opens the journal and attaches it.
func (r *recording) again() {
	r.t.Helper()
	var err error
	r.journal, err = journal.Open(journal.Options{Dir: r.dir, SegmentBytes: 2 << 20,
		Logger: logger()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.tap, err = tap.New(tap.Options{Journal: r.journal, Address: r.srv.Addr, Logger: logger(),
		BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
		Sample: r.mark, Mark: r.mark > 0})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.tap.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
		if err := r.journal.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
	r.t.Cleanup(r.stop)
	proxytest.Poll(r.t, "the journal to be attached and covered", func() bool {
		return r.tap.Attached() && r.tap.Confirmed().Timeline != 0
	})
	// A FLUSHALL would kill the child that sent the snapshot, and the connection with it.
	proxytest.Poll(r.t, "the server's child to end", func() bool {
		return r.srv.Info("persistence")["rdb_bgsave_in_progress"] == "0"
	})
}

// logger writes to stderr with HOLDFAST_TEST_LOG set, else nowhere.
func logger() *slog.Logger {
	if os.Getenv("HOLDFAST_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}

// offset is the server's own.
func offset(srv *proxytest.Server) int64 {
	n, err := strconv.ParseInt(srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// digest is that of every key of every database.
func digest(srv *proxytest.Server) string { return srv.MustDo("DEBUG", "DIGEST").(string) }

// caughtUp waits until everything up to now is durable.
func (r *recording) caughtUp() int64 {
	r.t.Helper()
	end := offset(r.srv)
	proxytest.Poll(r.t, "the journal to catch up", func() bool {
		return r.tap.Confirmed().Offset >= end
	})
	return end
}

func (r *recording) view() *journal.View {
	r.t.Helper()
	v, err := journal.OpenView(nil, r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// fresh starts an empty server of the same kind.
func (r *recording) fresh() *proxytest.Server {
	return proxytest.Spec{Kind: r.srv.Binary.Kind, Args: serverArgs}.Start(r.t)
}

// locate finds a point.
func (r *recording) locate(sel replay.Selector) *replay.Point {
	r.t.Helper()
	p, err := replay.Locate(context.Background(), r.view(), sel, nil)
	if err != nil {
		r.t.Fatalf("Locate(%+v): %v", sel, err)
	}
	return p
}

// restore brings a server to a point and returns its digest while it still is a replica.
func (r *recording) restore(dst *proxytest.Server, p *replay.Point, skips ...replay.Skip) string {
	r.t.Helper()
	view := r.view()
	plan, err := replay.NewPlan(context.Background(), view, p, skips)
	if err != nil {
		r.t.Fatal(err)
	}
	got := ""
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res, err := replay.Restore(ctx, replay.RestoreOptions{View: view, Plan: plan, Target: dst.Addr,
		Force: true, Logger: logger(),
		Inspect: func(context.Context) error { got = digest(dst); return nil }})
	if err != nil {
		r.t.Fatalf("Restore: %v", err)
	}
	if res.Offset != plan.End() {
		r.t.Errorf("restored to offset %d, want %d", res.Offset, plan.End())
	}
	return got
}
