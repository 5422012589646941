package tap_test

import (
	"errors"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

func TestAttach(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		args []string
	}{
		{"diskless", []string{"--repl-diskless-sync", "yes"}},
		{"from a file", []string{"--repl-diskless-sync", "no"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				fill(srv, 3<<20)
				r := newRig(t, srv.Addr).start().attached()
				fill(srv, 1<<20)
				r.caughtUp(srv)
				bases := r.view().Bases()
				if len(bases) != 1 || len(r.view().Gaps()) != 0 {
					t.Fatalf("bases %+v, gaps %+v", bases, r.view().Gaps())
				}
				if cur := r.current(); cur.ReplID != srv.Info("replication")["master_replid"] {
					t.Errorf("timeline %+v has another replication id than the server", cur)
				}
			}, append(row.args, serverArgs...)...)
		})
	}
}

func TestAttachOverUnixSocketAsUser(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, rules string
		warns       bool
	}{
		{"with INFO", "+psync +replconf +info", false},
		{"without INFO", "+psync +replconf", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := proxytest.Spec{Unix: true, Args: serverArgs}.Start(t)
			setUser(srv, row.rules)
			r := newRig(t, srv.Addr)
			r.opts.Username, r.opts.Password = "journal", "secret"
			r.start().attached()
			if r.log.contains("may not use INFO") != row.warns {
				t.Errorf("the log does not fit")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	setUser(srv, "+replconf")
	r := newRig(t, srv.Addr)
	r.opts.Username, r.opts.Password = "journal", "secret"
	r.start()
	proxytest.Poll(t, "the refusal", func() bool {
		return errors.Is(r.tap.Stats().LastErr, tap.ErrRefused)
	})
	srv.MustDo("ACL", "SETUSER", "journal", "+psync")
	r.attached()
	if err := r.tap.Stats().LastErr; err != nil {
		t.Errorf("LastErr is %v once attached", err)
	}
}

func TestContinueAfterRestart(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := newRig(t, srv.Addr).start().attached()
		fill(srv, 1<<20)
		r.caughtUp(srv)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		fill(srv, 2<<20)
		r.start().attached()
		r.caughtUp(srv)
		s := r.tap.Stats()
		if s.Continues != 1 || s.FullResyncs != 0 || len(r.view().Gaps()) != 0 ||
			len(r.view().Timelines()) != 1 {
			t.Errorf("stats %+v, gaps %+v, timelines %+v", s, r.view().Gaps(), r.view().Timelines())
		}
	}, serverArgs...)
}

func TestContinueAfterCut(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	r := newRig(t, relay.Addr).start().attached()
	for range 20 {
		before := r.tap.Stats().Continues
		relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, After: 100_003})
		fill(srv, 300_000)
		proxytest.Poll(t, "a continuation", func() bool { return r.tap.Stats().Continues > before })
	}
	r.caughtUp(srv)
	if s := r.tap.Stats(); s.FullResyncs != 1 || len(r.view().Timelines()) != 1 {
		t.Errorf("stats %+v, timelines %+v", s, r.view().Timelines())
	}
}

func TestGap(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := newRig(t, srv.Addr).start().attached()
		fill(srv, 200_000)
		r.caughtUp(srv)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		end := r.current().End
		fill(srv, 1<<20)
		from := offset(srv)
		r.start().attached()
		fill(srv, 200_000)
		r.caughtUp(srv)
		gaps := r.view().Gaps()
		if len(gaps) != 1 || gaps[0].From != end || gaps[0].To < from || gaps[0].Timeline != 1 ||
			len(r.view().Timelines()) != 1 {
			t.Fatalf("gaps %+v, want one from %d to %d or more; timelines %+v", gaps, end, from,
				r.view().Timelines())
		}
		bases := r.view().Bases()
		if len(bases) != 2 || bases[1].Offset != gaps[0].To {
			t.Errorf("bases %+v, want one at the end of the gap", bases)
		}
		if len(r.view().Incidents()) != 0 {
			t.Errorf("incidents %+v, want none: nothing was lost", r.view().Incidents())
		}
	}, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16kb")
}

func TestSplitEverywhere(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, append([]string{"--repl-diskless-sync", "yes"}, serverArgs...)...)
	fill(srv, 3000)
	for _, size := range []int{1, 7, 39, 41} {
		relay := proxytest.StartFaultProxy(t, srv.Addr)
		fault := proxytest.Fault{Op: proxytest.Split, On: proxytest.Replies, Size: size, Pause: 10 * time.Microsecond}
		if size == 1 {
			// INFO, which comes before, has 6,000 bytes. A pause for each, with many processes that wait for a processor,
			// takes longer than the tap's handshake may.
			fault.Trigger = "listening-port"
		}
		relay.Arm(fault)
		r := newRig(t, relay.Addr).start().attached()
		srv.MustDo("SET", "k", size)
		r.caughtUp(srv)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrimaryDiesWithinSnapshot(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, append([]string{"--rdbcompression", "no"}, serverArgs...)...)
	for i := range 40 {
		srv.MustDo("SET", i, make([]byte, 64<<10))
	}
	relay := proxytest.StartFaultProxy(t, srv.Addr)
	r := newRig(t, relay.Addr)
	relay.Arm(proxytest.Fault{Op: proxytest.Cut, On: proxytest.Replies, Trigger: "PSYNC",
		After: 1_000_000})
	r.start().attached()
	if relay.Fired() != 1 {
		t.Fatalf("the connection was cut %d times, want 1", relay.Fired())
	}
	v := r.view()
	if len(v.Timelines()) != 1 || len(v.Bases()) != 1 || len(v.Gaps()) != 0 {
		t.Errorf("timelines %+v, bases %+v, gaps %+v; want one, one, none", v.Timelines(), v.Bases(),
			v.Gaps())
	}
}

// TestBaseGone stands for a crash between the beginning of a timeline and its base: the stream is
// there and nothing leads to it.
func TestBaseGone(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := newRig(t, srv.Addr).start().attached()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	base := r.view().Bases()[0]
	if err := removeBase(r, base); err != nil {
		t.Fatal(err)
	}
	r.start()
	if p := r.tap.Confirmed(); p != (journal.Position{}) {
		t.Errorf("Confirmed is %+v though no base leads there", p)
	}
	r.attached()
	if s := r.tap.Stats(); s.Continues != 1 || s.Bases != 1 {
		t.Errorf("stats %+v, want one continuation and one base", s)
	}
}
