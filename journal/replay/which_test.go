package replay_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// copyDump saves the server's dump under a name.
func copyDump(t *testing.T, srv *proxytest.Server, name string) string {
	t.Helper()
	srv.Save()
	return copyFile(t, filepath.Join(srv.Dir, "dump.rdb"), filepath.Join(t.TempDir(), name), nil)
}

// copyFile copies a file, changed on the way.
func copyFile(t *testing.T, from, to string, change func([]byte) []byte) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		b = change(b)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func (r *recording) which(paths ...string) []replay.Placement {
	r.t.Helper()
	got, err := replay.Which(context.Background(), r.view(), nil, paths)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func TestWhich(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		paths := []string{copyDump(t, srv, "without a place.rdb")}
		backup := func(name string) { paths = append(paths, copyDump(t, srv, name)) }
		r := record(t, srv)
		srv.MustDo("SET", "a", 1)
		backup("old.rdb")
		for i := range 10 {
			srv.MustDo("SET", "b", i)
		}
		backup("common.rdb")
		srv.MustDo("SET", "c", 1)
		srv.MustDo("SET", "c", 2)
		r.caughtUp()
		backup("lost branch.rdb")
		srv.Kill() // what follows continues the common one
		copyFile(t, paths[2], filepath.Join(srv.Dir, "dump.rdb"), nil)
		srv.Restart()
		proxytest.Poll(t, "the new timeline", func() bool {
			return r.tap.Confirmed().Timeline == 2
		})
		srv.MustDo("SET", "d", 1)
		r.caughtUp()
		paths = append(paths, filepath.Join(t.TempDir(), "missing.rdb"))
		got := r.which(paths...)
		for i, want := range []struct {
			timeline       int
			online, newest bool
			lacks, left    int64
			err            bool
		}{{0, false, false, -1, 0, false}, {1, true, false, 11, 2, false},
			{1, true, true, 1, 2, false}, {1, false, false, 1, 0, false},
			{0, false, false, -1, 0, true}} {
			p, left := got[i], int64(0)
			for _, l := range p.Branches {
				left += l.Commands
			}
			if int(p.Timeline) != want.timeline || p.OnLine != want.online || left != want.left ||
				p.Newest != want.newest || p.Commands != want.lacks || (p.Err != nil) != want.err ||
				p.Err == nil && p.Condition != replay.Sound {
				t.Errorf("%s: got %+v, want %+v", filepath.Base(p.Path), p, want)
			}
		}
		if a := replay.NewAnswer(r.view(), got); a.Newest != &got[2] || !a.Restores || !a.Extends {
			t.Errorf("%+v", a)
		}
	}, serverArgs...)
}

// TestWhichAhead has a backup of what the journal has not received.
func TestWhichAhead(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "a", 1)
	old := copyDump(t, srv, "old.rdb")
	end := r.caughtUp()
	r.stop()
	srv.MustDo("SET", "b", 1)
	ahead := copyDump(t, srv, "ahead.rdb")
	got := r.which(ahead, old)
	if p := got[0]; !p.Newest || p.Ahead != offset(srv)-end || !p.OnLine || p.Commands != 0 {
		t.Errorf("%+v", p)
	}
	if got[1].Newest || got[1].Commands != 0 {
		t.Errorf("%+v", got[1])
	}
	_, _, err := replay.FromBackup(context.Background(), r.view(), nil, ahead)
	if err == nil || !strings.Contains(err.Error(), "ends before that") {
		t.Errorf("from one that is ahead: %v", err)
	}
}

// TestWhichDamaged: a backup that is not what the server wrote is never the newest, and nothing is
// continued from it.
func TestWhichDamaged(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "a", strings.Repeat("x", 100))
	srv.MustDo("RPUSH", "list", 1, 2, 3)
	good := copyDump(t, srv, "good.rdb")
	srv.MustDo("SET", "b", 1)
	later := copyDump(t, srv, "later.rdb")
	r.caughtUp()
	text, err := os.ReadFile(later)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bad := map[string]func(b []byte) []byte{
		"empty":  func([]byte) []byte { return nil },
		"longer": func(b []byte) []byte { return append(b, "more"...) },
		"zeros":  func(b []byte) []byte { return make([]byte, len(b)) },
	}
	for at := 0; at < len(text); at += 7 {
		bad["flipped at "+itoa(at)] = func(b []byte) []byte { b[at] ^= 0x10; return b }
		bad["cut at "+itoa(at)] = func(b []byte) []byte { return b[:at] }
	}
	for name, change := range bad {
		path := copyFile(t, later, filepath.Join(dir, "bad.rdb"), change)
		got := r.which(path, good)
		if got[0].Condition != replay.Damaged || got[0].Newest || !got[1].Newest || got[0].Why == "" {
			t.Errorf("%s: %+v", name, got[0])
		}
		if _, _, err := replay.FromBackup(context.Background(), r.view(), nil, path); err == nil {
			t.Errorf("%s: continued", name)
		}
	}
	other := record(t, r.fresh())
	if got := other.which(good); got[0].Timeline != 0 || got[0].Newest ||
		got[0].Condition != replay.Sound || !strings.Contains(got[0].Note, "does not hold") {
		t.Errorf("another journal's: %+v", got[0])
	}
}

// TestFromBackup restores from a backup where the journal's own base is gone.
func TestFromBackup(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := record(t, srv)
		w := newWorkload(t, srv, 4)
		for range 100 {
			w.step()
		}
		backup := copyDump(t, srv, "backup.rdb")
		for range 100 {
			w.step()
		}
		w.persistAll()
		end := r.caughtUp()
		want := digest(srv)
		r.stop()
		for _, b := range r.view().Bases() {
			if err := os.Remove(filepath.Join(r.dir, b.File)); err != nil {
				t.Fatal(err)
			}
		}
		ctx := context.Background()
		if _, err := replay.Locate(ctx, r.view(), replay.Selector{}, nil); err == nil {
			t.Fatal("a point without a base")
		}
		got := r.which(backup)
		if a := replay.NewAnswer(r.view(), got); a.Restores || !a.Extends {
			t.Errorf("%+v", a)
		}
		view, _, err := replay.FromBackup(ctx, r.view(), nil, backup)
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
		dst, at := r.fresh(), ""
		res, err := replay.Restore(ctx, replay.RestoreOptions{View: view, Plan: plan, Force: true,
			Target: dst.Addr, Logger: logger(),
			Inspect: func(context.Context) error { at = digest(dst); return nil }})
		if err != nil || res.Offset != end || at != want {
			t.Errorf("%+v, %v: digest %s, want %s", res, err, at, want)
		}
	}, serverArgs...)
}

// aofServer is a server whose append-only folder is a backup.
func aofServer(t *testing.T, kind string) (*proxytest.Server, *recording, string) {
	srv := proxytest.Spec{Kind: kind, Args: append([]string{"--appendonly", "yes", "--appendfsync",
		"always"}, serverArgs...)}.Start(t)
	return srv, record(t, srv), filepath.Join(srv.Dir, "appendonlydir")
}

// copyAOF copies an append-only folder; change sees each file.
func copyAOF(t *testing.T, from string, change func(name string, b []byte) ([]byte, bool)) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		keep := true
		if change != nil {
			if b, keep = change(e.Name(), bytes.Clone(b)); !keep {
				continue
			}
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestWhichAOF places the append-only folders of six servers.
func TestWhichAOF(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv, r, live := aofServer(t, bin.Kind)
			w := newWorkload(t, srv, 4)
			for range 60 {
				w.step()
			}
			rewrite(t, srv)
			early := copyAOF(t, live, nil) // nothing but a base
			for range 60 {
				w.step()
			}
			w.persistAll()
			r.caughtUp()
			middle := copyAOF(t, live, nil)
			for i := range 5 {
				srv.MustDo("SET", "later", i)
			}
			end := r.caughtUp()
			whole := copyAOF(t, live, nil)
			got := r.which(early, middle, whole)
			if got[0].Timeline != 0 || got[0].Condition != replay.Unchecked {
				t.Errorf("a base alone: %+v", got[0])
			}
			if p := got[1]; p.Timeline != 1 || p.Commands != 5 || p.Newest || p.Condition != replay.Sound {
				t.Errorf("the middle: %+v", p)
			}
			if p := got[2]; p.Offset > end || p.Commands != 0 || !p.Newest || p.Condition != replay.Sound {
				t.Errorf("the end: %+v", p)
			}
			r.stop()
			for i := range 3 {
				srv.MustDo("SET", "alone", i)
			}
			if p := r.which(copyAOF(t, live, nil))[0]; p.Ahead != 3 || !p.Newest {
				t.Errorf("ahead: %+v", p)
			}
		})
	}
}

func rewrite(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	proxytest.Poll(t, "a rewrite to begin", func() bool {
		_, err := srv.Do("BGREWRITEAOF")
		return err == nil
	})
	proxytest.Poll(t, "the rewrite", func() bool {
		in := srv.Info("persistence")
		return in["aof_rewrite_in_progress"] == "0" && in["aof_rewrite_scheduled"] == "0"
	})
}

// TestWhichAOFDamaged flips, cuts and takes away every file of an append-only folder.
func TestWhichAOFDamaged(t *testing.T) {
	t.Parallel()
	srv, r, live := aofServer(t, "valkey9")
	srv.MustDo("SET", "base", 1)
	rewrite(t, srv)
	for i := range 40 {
		srv.MustDo("SET", "key", i)
	}
	r.caughtUp()
	if p := r.which(live)[0]; p.Condition != replay.Sound || !p.Newest {
		t.Fatalf("%+v", p)
	}
	entries, err := os.ReadDir(live)
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(what string, e fs.DirEntry, change func([]byte) ([]byte, bool)) {
		dir := copyAOF(t, live, func(name string, b []byte) ([]byte, bool) {
			if name != e.Name() {
				return b, true
			}
			return change(b)
		})
		if p := r.which(dir)[0]; p.Condition != replay.Damaged || p.Newest || p.Why == "" {
			t.Errorf("%s: %s: %+v", e.Name(), what, p)
		}
	}
	for _, e := range entries {
		st, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		for at := 3; at < int(st.Size()); at += max(1, int(st.Size())/12) {
			if strings.HasSuffix(e.Name(), ".manifest") && at > 5 {
				break // the next word is a file's name, which is caught by its absence
			}
			spoil("flipped at "+itoa(at), e, func(b []byte) ([]byte, bool) { b[at] ^= 4; return b, true })
		}
		spoil("cut", e, func(b []byte) ([]byte, bool) { return b[:len(b)-3], true })
		spoil("missing", e, func(b []byte) ([]byte, bool) { return nil, false })
	}
	other := record(t, r.fresh())
	if p := other.which(live)[0]; p.Timeline != 0 || p.Newest {
		t.Errorf("another journal's: %+v", p)
	}
}

// TestWhichAfterAOFLoad: a server that loaded its append-only file has a history of its own, and
// what was proven to have lost nothing is no lost branch.
func TestWhichAfterAOFLoad(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey9", Args: append([]string{"--appendonly", "yes"},
		serverArgs...)}.Start(t)
	r := &recording{t: t, srv: srv, dir: t.TempDir(), mark: 2 * time.Millisecond}
	r.again()
	srv.MustDo("SET", "a", 1)
	old := copyDump(t, srv, "old.rdb")
	srv.MustDo("SET", "a", 2)
	proxytest.Poll(t, "a mark behind the last write", func() bool {
		return r.tap.Stats().Marked >= r.caughtUp()-200
	})
	srv.Stop()
	srv.Restart()
	proxytest.Poll(t, "the new timeline", func() bool { return r.tap.Confirmed().Timeline == 2 })
	srv.MustDo("SET", "a", 3)
	r.caughtUp()
	if list := r.view().Incidents(); len(list) != 1 || list[0].Verdict != journal.NothingLost {
		t.Fatalf("%+v", list)
	}
	if p := r.which(old)[0]; !p.OnLine || p.Commands != 2 || len(p.Branches) != 0 || !p.Newest {
		t.Errorf("%+v", p)
	}
}
