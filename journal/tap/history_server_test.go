package tap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

func TestRestartContinues(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := newRig(t, srv.Addr).start().attached()
		srv.MustDo("SET", "a", 1)
		r.caughtUp(srv)
		srv.Save()
		srv.Restart()
		proxytest.Poll(t, "a continuation", func() bool { return r.tap.Stats().Continues == 1 })
		srv.MustDo("SET", "b", 1)
		r.caughtUp(srv)
		tls := r.view().Timelines()
		if len(tls) != 2 || tls[1].Parent != 1 || tls[1].Fork != tls[0].End ||
			tls[1].ReplID != srv.Info("replication")["master_replid"] {
			t.Errorf("timelines %+v", tls)
		}
		if len(r.view().Incidents()) != 0 || r.tap.Stats().FullResyncs != 1 {
			t.Errorf("incidents %+v, stats %+v", r.view().Incidents(), r.tap.Stats())
		}
	}, serverArgs...)
}

func TestLostTail(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := newRig(t, srv.Addr).start().attached()
		srv.MustDo("SET", "kept", 1)
		r.caughtUp(srv)
		srv.Save()
		fork := offset(srv)
		for i := range 25 {
			srv.MustDo("SET", "lost:"+strconv.Itoa(i), i)
		}
		end := r.caughtUp(srv)
		srv.Kill()
		srv.Restart()
		proxytest.Poll(t, "a new timeline", func() bool { return len(r.view().Timelines()) == 2 })
		r.attached()
		srv.MustDo("SET", "new", 1)
		r.caughtUp(srv)
		in := r.view().Incidents()
		if len(in) != 1 || in[0].From != fork || in[0].To != end || in[0].Commands != 25 ||
			in[0].Timeline != 1 || in[0].FirstTime.IsZero() || in[0].LastTime.Before(in[0].FirstTime) {
			t.Fatalf("incidents %+v, want one from %d to %d of 25 commands", in, fork, end)
		}
		tls := r.view().Timelines()
		if len(tls) != 2 || tls[1].Parent != 1 || tls[1].Fork != fork || tls[0].End != end {
			t.Errorf("timelines %+v, want a child at %d and the branch kept to %d", tls, fork, end)
		}
		if r.tap.Stats().FullResyncs != 1 || len(r.view().Gaps()) > 0 {
			t.Errorf("%+v, gaps %+v: the backlog has all since the fork", r.tap.Stats(), r.view().Gaps())
		}
		if r.j.Stats().Incidents != 1 || !r.log.contains("lost writes that the journal holds") {
			t.Errorf("stats %+v", r.tap.Stats())
		}
	}, serverArgs...)
}

// TestLostTailAndWentOn is a primary that was ahead again before the journal came back.
func TestLostTailAndWentOn(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := newRig(t, srv.Addr).start().attached()
	srv.Save()
	fork := offset(srv)
	srv.MustDo("SET", "lost", 1)
	end := r.caughtUp(srv)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	srv.Kill()
	srv.Restart()
	fill(srv, 100_000)
	r.start().attached()
	r.caughtUp(srv)
	v := r.view()
	if in := v.Incidents(); len(in) != 1 || in[0].From != fork || in[0].To != end ||
		in[0].Commands != 1 {
		t.Errorf("incidents %+v, want one from %d to %d", v.Incidents(), fork, end)
	}
	if g := v.Gaps(); len(g) > 1 || len(g) == 1 && (g[0].Timeline != 2 || g[0].From != fork) {
		t.Errorf("gaps %+v, want at most one, on the new timeline from %d", g, fork)
	}
}

// TestOnlyPingsLost is no incident: nothing was lost that anyone wrote. Messages are not kept by the
// server either.
func TestOnlyPingsLost(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, append([]string{"--repl-ping-replica-period", "1"},
		serverArgs...)...)
	r := newRig(t, srv.Addr).start().attached()
	srv.MustDo("SET", "kept", 1)
	srv.Save()
	fork := offset(srv)
	srv.MustDo("PUBLISH", "channel", "message")
	srv.MustDo("SPUBLISH", "shard", "message")
	said := offset(srv)
	proxytest.Poll(t, "a PING", func() bool { return r.j.Durable().Offset > said })
	srv.Kill()
	srv.Restart()
	proxytest.Poll(t, "a new timeline", func() bool { return len(r.view().Timelines()) == 2 })
	r.attached()
	if in := r.view().Incidents(); len(in) != 0 {
		t.Errorf("incidents %+v, want none", in)
	}
	if tls := r.view().Timelines(); len(tls) != 2 || tls[1].Parent != 1 || tls[1].Fork != fork {
		t.Errorf("timelines %+v, want a child at %d", tls, fork)
	}
}

func TestUnknownHistory(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := newRig(t, srv.Addr).start().attached()
	srv.MustDo("SET", "k", 1)
	r.caughtUp(srv)
	srv.MustDo("DEBUG", "CHANGE-REPL-ID")
	srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
	proxytest.Poll(t, "a full resync", func() bool { return r.tap.Stats().FullResyncs == 2 })
	r.attached()
	tls := r.view().Timelines()
	in := r.view().Incidents()
	if len(tls) != 2 || tls[1].Parent != 0 || len(in) != 1 || !in[0].Replaced ||
		in[0].Timeline != 1 || in[0].To != tls[0].End || in[0].Verdict != journal.InQuestion ||
		in[0].Most != 1 {
		t.Errorf("timelines %+v, incidents %+v", tls, in)
	}
	if s := r.j.Stats(); s.Incidents != 0 || s.Replaced != 1 {
		t.Errorf("%+v", s)
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		other := proxytest.Spec{Kind: srv.Binary.Kind, Args: serverArgs}.Start(t)
		follow(t, other, srv)
		r := newRig(t, srv.Addr).start().attached()
		srv.MustDo("SET", "both", 1)
		r.caughtUp(srv)
		proxytest.Poll(t, "the replica", func() bool { return offset(other) == offset(srv) })
		fork := offset(srv)
		other.MustDo("REPLICAOF", "NO", "ONE")
		// The old primary goes on alone: what it takes is lost with the failover.
		srv.MustDo("SET", "old", 1)
		srv.MustDo("SET", "old", 2)
		end := r.caughtUp(srv)
		r.tap.Redirect(other.Addr)
		proxytest.Poll(t, "the new primary", func() bool { return len(r.view().Timelines()) == 2 })
		r.attached()
		other.MustDo("SET", "new", 1)
		r.caughtUp(other)
		if in := r.view().Incidents(); len(in) != 1 || in[0].From != fork || in[0].To != end ||
			in[0].Commands != 2 {
			t.Errorf("incidents %+v, want one from %d to %d", in, fork, end)
		}
		// And back: the first timeline's history goes on where it was left.
		r.tap.Redirect(srv.Addr)
		proxytest.Poll(t, "the old primary", func() bool { return len(r.view().Timelines()) == 3 })
		r.attached()
		r.caughtUp(srv)
		tls, in := r.view().Timelines(), r.view().Incidents()
		if len(tls) != 3 || tls[2].Parent != 1 || tls[2].Fork < end || tls[2].ReplID != tls[0].ReplID {
			t.Errorf("timelines %+v, want the third to go on from the first at %d", tls, end)
		}
		if len(in) != 2 || in[1].Timeline != 2 || in[1].From != fork || in[1].Commands != 1 {
			t.Errorf("incidents %+v, want a second one from %d", in, fork)
		}
	}, serverArgs...)
}

func TestFailoverContinues(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	other := proxytest.StartServer(t, serverArgs...)
	follow(t, other, srv)
	r := newRig(t, srv.Addr).start().attached()
	srv.MustDo("SET", "both", 1)
	r.caughtUp(srv)
	proxytest.Poll(t, "the replica", func() bool { return offset(other) == offset(srv) })
	srv.Stop()
	other.MustDo("REPLICAOF", "NO", "ONE")
	other.MustDo("SET", "new", 1)
	r.tap.Redirect(other.Addr)
	proxytest.Poll(t, "the new primary", func() bool { return r.tap.Stats().Continues == 1 })
	r.caughtUp(other)
	if tls := r.view().Timelines(); len(tls) != 2 || tls[1].Parent != 1 {
		t.Errorf("timelines %+v", tls)
	}
}

// follow makes a server a replica of another one and waits for the link.
func follow(t *testing.T, replica, primary *proxytest.Server) {
	t.Helper()
	replica.MustDo("REPLICAOF", "127.0.0.1", primary.Port)
	proxytest.Poll(t, "the replica's link", func() bool {
		return replica.Info("replication")["master_link_status"] == "up"
	})
}

// A replica that was started from a file of the old history goes on with the new one by a partial
// resync. Its second_repl_offset then says where its file ended: where the histories parted, its
// primary knows.
func TestOldPrimaryComesBackAsReplica(t *testing.T) {
	t.Parallel()
	for _, loses := range []bool{false, true} {
		t.Run(fmt.Sprintf("loses=%t", loses), func(t *testing.T) {
			t.Parallel()
			for _, bin := range proxytest.Binaries(t) {
				t.Run(bin.Kind, func(t *testing.T) {
					t.Parallel()
					testBackAsReplica(t, bin.Kind, loses)
				})
			}
		})
	}
}

func testBackAsReplica(t *testing.T, kind string, loses bool) {
	conf := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	srv := proxytest.Spec{Kind: kind, Args: append([]string{"--include", conf}, serverArgs...)}.Start(t)
	other := proxytest.Spec{Kind: kind, Args: serverArgs}.Start(t)
	follow(t, other, srv)
	r := newRig(t, srv.Addr).start().attached()
	srv.MustDo("SET", "in the file", 1)
	srv.Save()
	srv.MustDo("SET", "both", 1)
	r.caughtUp(srv)
	proxytest.Poll(t, "the replica", func() bool { return offset(other) == offset(srv) })
	fork := offset(srv)
	if loses {
		other.MustDo("REPLICAOF", "NO", "ONE")
		srv.MustDo("SET", "old", 1)
		r.caughtUp(srv)
	}
	srv.Kill()
	if !loses {
		other.MustDo("REPLICAOF", "NO", "ONE")
	}
	other.MustDo("SET", "new", 1)
	line := fmt.Sprintf("replicaof 127.0.0.1 %d\n", other.Port)
	if err := os.WriteFile(conf, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	srv.Restart()
	proxytest.Poll(t, "the stream of the new primary", func() bool {
		return len(r.view().Timelines()) == 2
	})
	r.attached()
	tls, in := r.view().Timelines(), r.view().Incidents()
	if tls[1].Parent != 1 || tls[1].Fork < fork {
		t.Errorf("timelines %+v, want the second to part from the first at %d or later", tls, fork)
	}
	switch {
	case !loses && len(in) != 0:
		t.Errorf("incidents %+v, want none", in)
	case loses && (len(in) != 1 || in[0].Verdict != journal.Lost || in[0].From < fork ||
		in[0].Commands != 1):
		t.Errorf("incidents %+v, want one command lost from %d", in, fork)
	}
}

// The connection that writes the mark breaks when the server restarts, like all others. That is no
// reason to say that the mark cannot be written.
func TestRestartDoesNotBlameTheMark(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := newRig(t, srv.Addr)
	r.opts.Sample, r.opts.Mark = 10*time.Millisecond, true
	r.start().attached()
	srv.MustDo("SET", "a", 1)
	proxytest.Poll(t, "the first mark", func() bool { return r.tap.Stats().Marked > 0 })
	r.caughtUp(srv)
	srv.Save()
	srv.Restart()
	proxytest.Poll(t, "a continuation", func() bool { return r.tap.Stats().Continues == 1 })
	at := offset(srv)
	srv.MustDo("SET", "b", 1)
	proxytest.Poll(t, "a mark behind the write", func() bool { return r.tap.Stats().Marked > at })
	if r.log.contains("the mark cannot be kept up to date") {
		t.Error("the log blames the mark")
	}
}
