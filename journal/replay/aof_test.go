package replay_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// TestExport starts a server from an exported folder, and has the server's own tool look at it.
func TestExport(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		w := newWorkload(t, srv, 42)
		for range 100 {
			w.step()
		}
		r := record(t, srv)
		for n := range 400 {
			if w.step(); n == 200 {
				if _, err := r.tap.Snapshot(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.persistAll()
		end, _ := w.observe()
		r.caughtUp()
		dst := proxytest.Spec{Kind: srv.Binary.Kind, Args: append([]string{"--appendonly", "yes"},
			serverArgs...)}.Start(t)
		dst.Stop()
		dir := filepath.Join(dst.Dir, "appendonlydir")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		p := r.locate(replay.Selector{Kind: replay.AtOffset, Offset: end.offset})
		plan, err := replay.NewPlan(ctx, r.view(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := replay.ExportOptions{View: r.view(), Plan: plan, Dir: dir}
		if err := replay.Export(ctx, o); err != nil {
			t.Fatal(err)
		}
		if err := replay.Export(ctx, o); !errors.Is(err, replay.ErrExists) {
			t.Errorf("a second export: %v, want ErrExists", err)
		}
		checkAOF(t, srv.Binary.Path, dir)
		dst.Restart()
		if got := digest(dst); got != end.digest {
			t.Errorf("digest %s, want %s", got, end.digest)
		}
	}, serverArgs...)
}

// TestExportedCommands: the database that the base ends in is selected, and nothing is written that
// only servers say to each other, or that nobody keeps.
func TestExportedCommands(t *testing.T) {
	t.Parallel()
	disk, ctx := vfstest.NewMem(), context.Background()
	now := proxytest.NewClock(time.Unix(1_700_000_000, 0))
	j := handMade(t, journal.Options{FS: disk, Now: now.Now}, 3)
	set, end := proxytest.Command("SET", "k", "v"), proxytest.Command("INCR", "n")
	write(t, j, set+proxytest.Command("PING")+"\n"+proxytest.Command("REPLCONF", "GETACK", "*")+
		proxytest.Command("PUBLISH", "c", "m")+proxytest.Command("SPUBLISH", "c", "m")+end)
	view, err := journal.OpenView(disk, "j")
	if err != nil {
		t.Fatal(err)
	}
	p, err := replay.Locate(ctx, view, replay.Selector{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := replay.NewPlan(ctx, view, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := replay.ExportOptions{View: view, Plan: plan, Dir: t.TempDir()}
	if err := replay.Export(ctx, o); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(o.Dir, "appendonly.aof.1.incr.aof"))
	want := proxytest.Command("SELECT", "3") + "#TS:1700000000\r\n" + set + end
	if err != nil || string(got) != want {
		t.Errorf("%v: got %q, want %q", err, got, want)
	}
}

// persistAll takes the expiry off every key that has not expired: a server that has loaded expires
// them at once, so that there would be nothing to compare.
func (w *workload) persistAll() {
	for db := range 4 {
		w.do("SELECT", db)
		keys, _ := w.do("KEYS", "*").([]any)
		for _, k := range keys {
			w.do("PERSIST", k)
			for n := range 30 {
				w.do("HPERSIST", k, "FIELDS", 1, "m"+itoa(n))
			}
		}
	}
	proxytest.Poll(w.t, "what has expired to be gone", func() bool {
		for _, db := range w.srv.Info("keyspace") {
			for field := range strings.SplitSeq(db, ",") {
				name, n, _ := strings.Cut(field, "=")
				if (name == "expires" || name == "subexpiry") && n != "0" {
					return false
				}
			}
		}
		return true
	})
}

// checkAOF runs the program that belongs to the server.
func checkAOF(t *testing.T, server, dir string) {
	t.Helper()
	tool := filepath.Join(filepath.Dir(server),
		strings.Replace(filepath.Base(server), "-server", "-check-aof", 1))
	out, err := exec.Command(tool, filepath.Join(dir, "appendonly.aof.manifest")).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", tool, err, out)
	}
}
