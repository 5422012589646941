package replay_test

import (
	"os"
	"strconv"
	"testing"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

func TestRestoreEnd(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		for i := range 1000 {
			srv.MustDo("SET", "before:"+strconv.Itoa(i), i)
		}
		r := record(t, srv)
		for i := range 1000 {
			srv.MustDo("SET", "after:"+strconv.Itoa(i), i)
		}
		want := digest(srv)
		end := r.caughtUp()
		p := r.locate(replay.Selector{})
		if p.Offset < end {
			t.Errorf("the end is at %d, the server's offset was %d", p.Offset, end)
		}
		dst := r.fresh()
		if got := r.restore(dst, p); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
		if role := dst.Info("replication")["role"]; role != "master" {
			t.Errorf("the target is a %s", role)
		}
	}, serverArgs...)
}

// TestRestoreFromCopy needs neither the process that wrote the journal nor the server.
func TestRestoreFromCopy(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	for i := range 1000 {
		srv.MustDo("SET", "k:"+strconv.Itoa(i), i)
	}
	want := digest(srv)
	r.caughtUp()
	// While it is written to, as a backup of a running machine is.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	r.stop()
	srv.Stop()
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	r.dir = dir
	if got := r.restore(r.fresh(), r.locate(replay.Selector{})); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// TestRestoreElsewhere restores into a server of another kind that knows the format. Redis 7.0 is
// left out: its digest words the scores of sorted sets in another way.
func TestRestoreElsewhere(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey", Args: serverArgs}.Start(t)
	w := newWorkload(t, srv, 7)
	for range 50 {
		w.step()
	}
	r := record(t, srv)
	for range 300 {
		w.step()
	}
	end, _ := w.observe()
	r.caughtUp()
	dst := proxytest.Spec{Kind: "redis", Args: serverArgs}.Start(t)
	p := r.locate(replay.Selector{Kind: replay.AtOffset, Offset: end.offset})
	if got := r.restore(dst, p); got != end.digest {
		t.Errorf("digest %s, want %s", got, end.digest)
	}
}

// TestUndo takes the primary itself back to before a FLUSHALL, with the journal attached: the
// journal follows, on a timeline that leaves the first one at that point. It is one more timeline
// if the journal came back before the primary was promoted, which gives it another id.
func TestUndo(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := record(t, srv)
		for i := range 100 {
			srv.MustDo("SET", "k:"+strconv.Itoa(i), i)
		}
		want := digest(srv)
		srv.MustDo("FLUSHALL")
		srv.MustDo("SET", "after", 1)
		r.caughtUp()
		p := r.locate(replay.Selector{Kind: replay.BeforeCommand, Command: "flushall"})
		if got := r.restore(srv, p); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
		proxytest.Poll(t, "the journal to follow", func() bool {
			cur, _ := r.journal.Current()
			return r.tap.Attached() && r.tap.Confirmed().Timeline == cur.ID &&
				cur.ReplID == srv.Info("replication")["master_replid"]
		})
		srv.MustDo("SET", "again", 1)
		want = digest(srv)
		r.caughtUp()
		tls, in := r.view().Timelines(), r.view().Incidents()
		if len(tls) < 2 || tls[1].Parent != 1 || tls[1].Fork != p.Offset {
			t.Errorf("timelines %+v, want the second to leave the first at %d", tls, p.Offset)
		}
		if len(in) != 1 || in[0].Commands != 2 || in[0].From != p.Offset {
			t.Errorf("incidents %+v, want one of 2 commands: what was undone", in)
		}
		if got := r.restore(r.fresh(), r.locate(replay.Selector{})); got != want {
			t.Errorf("the new end: digest %s, want %s", got, want)
		}
	}, serverArgs...)
}
