package putback_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/putback"
	"holdfast/journal/replay"
	"holdfast/journal/scratch"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

// recording is a server with a journal attached.
type recording struct {
	*proxytest.Server
	t   *testing.T
	dir string
	tap *tap.Tap
	end func() // detaches the journal
}

// record starts a server of a kind and attaches a journal; both end with the test.
func record(t *testing.T, kind string) *recording {
	t.Helper()
	r := &recording{t: t, dir: t.TempDir(), Server: proxytest.Spec{Kind: kind,
		Args: []string{"--repl-diskless-sync-delay", "0"}}.Start(t)}
	j, err := journal.Open(journal.Options{Dir: r.dir, SegmentBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	r.tap, err = tap.New(tap.Options{Journal: j, Address: r.Addr, BackoffMin: 5 * time.Millisecond,
		BackoffMax: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.tap.Run(ctx) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(r.end)
	proxytest.Poll(t, "the journal to be attached", func() bool {
		return r.tap.Attached() && r.tap.Confirmed().Timeline != 0
	})
	return r
}

// now waits until the journal has everything, and gives the offset.
func (r *recording) now() int64 {
	r.t.Helper()
	end, err := strconv.ParseInt(r.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	proxytest.Poll(r.t, "the journal to catch up", func() bool {
		return r.tap.Confirmed().Offset >= end
	})
	return end
}

func (r *recording) view() (*journal.View, error) { return journal.OpenView(nil, r.dir) }

// options puts back into the recorded server what it had at an offset.
func (r *recording) options(at int64) putback.Options {
	r.t.Helper()
	view, err := r.view()
	if err != nil {
		r.t.Fatal(err)
	}
	ctx := context.Background()
	point, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset, Offset: at}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	plan, err := replay.NewPlan(ctx, view, point, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return putback.Options{Patience: 5 * time.Minute, Open: r.view, View: view, Plan: plan,
		Into: keyspace.Endpoint{Address: r.Addr}, Scratch: scratch.Options{Program: r.Binary.Path, Dir: proxytest.ShortDir(r.t)}}
}

// items runs and gives what became of each key that is not the same.
func items(t *testing.T, o putback.Options) (map[string]putback.Action, putback.Summary, error) {
	t.Helper()
	out := make(map[string]putback.Action)
	o.Report = func(i putback.Item) error {
		if _, twice := out[i.Key.String()]; twice {
			t.Errorf("%v twice", i.Key)
		}
		out[i.Key.String()] = i.Action
		if i.Action >= putback.Conflicted && i.Why == nil {
			t.Errorf("%v: %v without a reason", i.Key, i.Action)
		}
		return nil
	}
	sum, err := putback.Run(context.Background(), o)
	return out, sum, err
}

// expect compares what became of keys of database 0.
func expect(t *testing.T, got map[string]putback.Action, want map[string]putback.Action) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[fmt.Sprintf("db0 %q", name)]; !ok || g != w {
			t.Errorf("%q: %v (%v), want %v", name, g, ok, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d keys, want %d: %v", len(got), len(want), got)
	}
}
