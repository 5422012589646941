package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// writers write one key after the other, round the proxy, for as long as they are let.
type writers struct {
	stop  chan struct{}
	wait  sync.WaitGroup
	acked [4]atomic.Int64 // of each: 1 … n were answered OK, all of them
}

func startWriters(t *testing.T, srv *proxytest.Server) *writers {
	t.Helper()
	w := &writers{stop: make(chan struct{})}
	for i := range w.acked {
		w.wait.Go(func() {
			c := redis.NewClient(&redis.Options{Addr: srv.Addr, MaxRetries: -1, DisableIdentity: true, PoolSize: 1})
			defer c.Close()
			for n := int64(1); ; {
				select {
				case <-w.stop:
					return
				default:
				}
				if c.Set(context.Background(), fmt.Sprint("w:", i, ":", n), n, 0).Err() == nil {
					w.acked[i].Store(n)
					n++
				}
			}
		})
	}
	t.Cleanup(w.end)
	return w
}

func (w *writers) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.wait.Wait()
}

func (w *writers) total() (n int64) {
	for i := range w.acked {
		n += w.acked[i].Load()
	}
	return n
}

// missing counts acknowledged keys that a server does not hold.
func (w *writers) missing(srv *proxytest.Server) (n int) {
	for i := range w.acked {
		for k := int64(1); k <= w.acked[i].Load(); k++ {
			if srv.MustDo("EXISTS", fmt.Sprint("w:", i, ":", k)) == int64(0) {
				n++
			}
		}
	}
	return n
}

// destroyed is a recorded server on which an event destroyed 200 keys while clients go on writing.
func destroyed(t *testing.T, kind string) (*proxytest.Server, *process, *writers) {
	t.Helper()
	srv := proxytest.Spec{Kind: kind, Args: recordedArgs}.Start(t)
	p := startProxy(t, srv, recordingConfig)
	for i := range 200 {
		srv.MustDo("SET", fmt.Sprint("old:", i), i)
	}
	srv.MustDo("FLUSHALL")
	p.recordedAll(srv)
	w := startWriters(t, srv)
	proxytest.Poll(t, "writes come", func() bool { return w.total() > 100 })
	return srv, p, w
}

// Into the live primary, without the event and with everything that came later: no acknowledged
// write is missing.
func TestKeepLaterUnderLoad(t *testing.T) {
	t.Parallel()
	points := [][]string{{"--event", "1", "--keep-later"}, {"--end", "--skip-event", "1"},
		{"--before-command", "flushall", "--keep-later"}}
	for i, b := range proxytest.Binaries(t) { // one point each: they share all code of ours
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			point := points[i%len(points)]
			srv, p, w := destroyed(t, b.Kind)
			out := mustRun(t, append([]string{"restore", "--config", p.file, "--force", "--target", srv.Addr},
				point...)...)
			followed(t, srv, p)
			w.end()
			if n := w.missing(srv); n > 0 {
				t.Errorf("%v: %d of %d acknowledged writes are missing\n%s", point, n, w.total(), out)
			}
			if n := srv.MustDo("EXISTS", "old:0", "old:199"); n != int64(2) {
				t.Errorf("%v: %v of 2 keys of before the event\n%s", point, n, out)
			}
			if !strings.Contains(out, "done: ") || !strings.Contains(out, "and what came until its role changed: ") ||
				strings.Contains(out, "left out: offset") {
				t.Error(out)
			}
			t.Logf("%v: %d acknowledged writes, 0 missing", point, w.total())
		})
	}
}

// followed requires that the journal leads to the server's contents, at once: a crash would lose
// them.
func followed(t *testing.T, srv *proxytest.Server, p *process) {
	t.Helper()
	view, err := journal.OpenView(nil, p.folder())
	if err != nil {
		t.Fatal(err)
	}
	cur, _ := view.Current()
	if _, err := view.BaseFor(cur.ID, cur.End); err != nil || cur.ReplID != srv.Info("replication")["master_replid"] {
		t.Errorf("the journal is at timeline %d of %s (%v), the server at %s", cur.ID, cur.ReplID, err,
			srv.Info("replication")["master_replid"])
	}
}

// To an earlier point, the part left out is named to the last command, and the command that is named
// brings it back.
func TestForceNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Binaries(t) {
		t.Run(b.String(), func(t *testing.T) {
			t.Parallel()
			srv, p, w := destroyed(t, b.Kind)
			out := mustRun(t, "restore", "--config", p.file, "--force", "--target", srv.Addr, "--event", "1", "--json")
			var v restoredView
			if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Done || v.LeftOut == nil || v.LeftOut.Lost != 0 {
				t.Fatalf("%v: %s", err, out)
			}
			// The writers went on behind the promotion: the part left out is 1 … n of each.
			w.end()
			left := int64(0)
			for i := range w.acked {
				n := int64(0)
				for n < w.acked[i].Load() && srv.MustDo("EXISTS", fmt.Sprint("w:", i, ":", n+1)) == int64(0) {
					n++
				}
				left += n
			}
			if v.LeftOut.Commands != left+1 || v.LeftOut.Keys != left { // and the FLUSHALL
				t.Errorf("%d acknowledged writes were left out, named: %+v", left, v.LeftOut)
			}
			out = mustRun(t, append(strings.Fields(v.LeftOut.List)[1:], "--match", "set", "--key", "w:*")...)
			if n := int64(strings.Count(out, "\n")); n != left {
				t.Errorf("%q lists %d commands, want %d", v.LeftOut.List, n, left)
			}
			mustRun(t, strings.Fields(v.LeftOut.Again)[1:]...)
			for i := range w.acked {
				if srv.MustDo("EXISTS", fmt.Sprint("w:", i, ":1"), "old:7") != int64(2) {
					t.Errorf("%q brought nothing back", v.LeftOut.Again)
				}
			}
		})
	}
}

// Where no proxy records the server, a restore to the end would lose what came since, and is refused; one
// to a point before says how much is lost, and is not done.
func TestForceWithoutAProxy(t *testing.T) {
	t.Parallel()
	srv, p, w := destroyed(t, "")
	w.end()
	p.stop()
	srv.MustDo("SET", "unrecorded", 1)
	code, _, stderr := execute(t, "restore", "--dir", p.folder(), "--event", "1", "--keep-later", "--force",
		"--target", srv.Addr)
	if code != exitFailed || !strings.Contains(stderr, "nothing was touched") ||
		!strings.Contains(stderr, "no proxy writes the journal: start the proxy") {
		t.Errorf("%d: %s", code, stderr)
	}
	if srv.MustDo("GET", "unrecorded") != "1" || role(srv) != "master" {
		t.Error("something was touched")
	}
	code, stdout, _ := execute(t, "restore", "--dir", p.folder(), "--event", "1", "--force", "--target", srv.Addr)
	if code != exitFailed || !strings.Contains(stdout, "LOST: ") || srv.MustDo("EXISTS", "old:0") != int64(1) {
		t.Errorf("%d: %s", code, stdout)
	}
}

// A second event that comes while the first is taken back is not restored silently.
func TestKeepLaterMeetsAnotherEvent(t *testing.T) {
	t.Parallel()
	srv, p, w := destroyed(t, "")
	w.end()
	for _, args := range [][]string{{"restore", "--event", "1"}, {"restore", "--end", "--keep-later"}} {
		if code, _, stderr := execute(t, append(args, "--dir", p.folder(), "--keep-later", "--to", "1", "--target",
			srv.Addr)...); code != exitUsage {
			t.Errorf("%v: %d, %s", args, code, stderr)
		}
	}
	r := &restoration{c: &command{stdout: &proxytest.Log{}, stderr: &proxytest.Log{}}}
	flags := r.c.flags("restore", "")
	from := addJournal(flags)
	r.point = addPoint(flags)
	if err := flags.Parse([]string{"--dir", p.folder(), "--event", "1", "--keep-later"}); err != nil {
		t.Fatal(err)
	}
	r.shown = newProgress(r.c.stderr)
	view, _, err := from.open(r.c)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := r.point.selector(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r.plan, err = r.point.plan(t.Context(), view, sel, r.shown); err != nil {
		t.Fatal(err)
	}
	for range 3 { // beyond the event's own time, which is a burst of 5 seconds
		srv.MustDo("SET", "k", 1)
	}
	p.recordedAll(srv)
	view, err = view.Again()
	if err != nil {
		t.Fatal(err)
	}
	plan, err := r.extend(t.Context(), view)
	if err != nil || plan.Point.Offset <= r.plan.Point.Offset || plan.End() >= plan.Point.Offset {
		t.Fatalf("%v: %+v", err, plan)
	}
	// One more FLUSHALL is of the same burst, and left out, too; where the machine was slow, it is an
	// event of its own, and refused.
	srv.MustDo("FLUSHALL")
	p.recordedAll(srv)
	if view, err = view.Again(); err != nil {
		t.Fatal(err)
	}
	events, err := view.Events(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.extend(t.Context(), view)
	switch {
	case len(events) > 1:
		if err == nil || !strings.Contains(err.Error(), "event 2, ") {
			t.Errorf("%v: another event came and is not named", err)
		}
	case err != nil:
		t.Error(err)
	case again.Left != plan.Left+1:
		t.Errorf("left out %d, want %d", again.Left, plan.Left+1)
	}
}
