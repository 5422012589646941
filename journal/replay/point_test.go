package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/proxy/proxytest"
)

// words is a line's command, for comparisons.
func words(lines []replay.Line) string {
	var out []string
	for _, l := range lines {
		var args []string
		for _, a := range l.Args {
			args = append(args, string(a))
		}
		out = append(out, strings.Join(args, " "))
	}
	return strings.Join(out, "; ")
}

// empty is a server without keys.
func empty(t *testing.T) *proxytest.Server { return proxytest.StartServer(t, serverArgs...) }

func TestBeforeFlushall(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		for i := range 100 {
			srv.MustDo("SET", "in-base:"+strconv.Itoa(i), i)
		}
		r := record(t, srv)
		srv.MustDo("SET", "a", 1)
		first := digest(srv)
		srv.MustDo("FLUSHALL")
		srv.MustDo("SET", "b", 2)
		srv.MustDo("FLUSHALL")
		srv.MustDo("SET", "c", 3)
		// A base after both: they are found before it.
		if _, err := r.tap.Snapshot(context.Background()); err != nil {
			t.Fatal(err)
		}
		srv.MustDo("SET", "d", 4)
		r.caughtUp()
		dst := r.fresh()
		p := r.locate(replay.Selector{Kind: replay.BeforeCommand, Command: "FlushAll"})
		if got := r.restore(dst, p); got != first {
			t.Errorf("before both FLUSHALLs, which are one event: digest %s, want %s", got, first)
		}
		if b, a := words(p.Before), words(p.After); !strings.HasSuffix(b, "SET a 1") ||
			!strings.HasPrefix(strings.ToUpper(a), "FLUSHALL; SET B 2; FLUSHALL") || p.Event == nil ||
			p.Event.N != 1 || p.Event.What[0].Count != 2 {
			t.Errorf("between %q and %q, event %+v", b, a, p.Event)
		}
		for _, sel := range []replay.Selector{{Kind: replay.BeforeEvent, Event: 1},
			{Kind: replay.BeforeCommand, Command: "flush*"}, {Kind: replay.BeforeCommand, Command: "F*L"}} {
			if got := r.locate(sel); got.Offset != p.Offset {
				t.Errorf("%+v: offset %d, want %d", sel, got.Offset, p.Offset)
			}
		}
		p = r.locate(replay.Selector{Kind: replay.BeforeCommand, Command: "set", Nth: 2})
		if got := r.restore(dst, p); got != digest(empty(t)) {
			t.Errorf("before the last SET but one: digest %s, want that of no keys", got)
		}
		for _, sel := range []replay.Selector{{Kind: replay.BeforeEvent, Event: 2},
			{Kind: replay.BeforeCommand, Command: "flushall", Nth: 2},
			{Kind: replay.BeforeCommand, Command: "flush["}} {
			if _, err := replay.Locate(context.Background(), r.view(), sel,
				nil); !errors.Is(err, replay.ErrNoPoint) {
				t.Errorf("%+v: %v, want ErrNoPoint", sel, err)
			}
		}
	}, serverArgs...)
}

func TestTransactionsAreNotCut(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "before", 1)
	from := offset(srv)
	want := digest(srv)
	ctx := context.Background()
	pipe := srv.Client().TxPipeline()
	pipe.Set(ctx, "in:1", 1, 0)
	pipe.FlushDB(ctx)
	pipe.Set(ctx, "in:2", 2, 0)
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	to := r.caughtUp()
	view := r.view()
	for at := from; at < to; at++ {
		p, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset, Offset: at}, nil)
		if err != nil || p.Offset != from {
			t.Fatalf("offset %d is cut at %+v (%v), want %d: before the transaction", at, p, err, from)
		}
	}
	if p := r.locate(replay.Selector{Kind: replay.AtOffset, Offset: to}); p.Offset != to {
		t.Errorf("the end is cut at %d, want %d", p.Offset, to)
	}
	p := r.locate(replay.Selector{Kind: replay.BeforeCommand, Command: "flushdb"})
	if p.Offset != from || !strings.HasPrefix(words(p.After), "MULTI; ") {
		t.Errorf("before FLUSHDB is %d, then %q; want %d, at its MULTI", p.Offset, words(p.After), from)
	}
	if got := r.restore(r.fresh(), p); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestAtTime(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	type instant struct {
		at     time.Time
		digest string
	}
	var instants []instant
	for i := range 6 {
		if i == 3 {
			if _, err := r.tap.Snapshot(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		srv.MustDo("SET", "k", i)
		r.caughtUp()
		instants = append(instants, instant{time.Now(), digest(srv)})
		time.Sleep(2 * time.Millisecond) // so that the next write is later on any clock
	}
	srv.MustDo("SET", "k", "later") // a moment behind the last byte would be refused
	r.caughtUp()
	dst := r.fresh()
	for _, in := range instants {
		p := r.locate(replay.Selector{Kind: replay.AtTime, Time: in.at})
		if got := r.restore(dst, p); got != in.digest {
			t.Errorf("at %v: offset %d, digest %s, want %s", in.at, p.Offset, got, in.digest)
		}
	}
	_, err := replay.Locate(context.Background(), r.view(),
		replay.Selector{Kind: replay.AtTime, Time: time.Now().Add(-time.Hour)}, nil)
	if !errors.Is(err, replay.ErrNoPoint) || !errors.Is(err, journal.ErrNoBase) {
		t.Errorf("an hour ago: %v, want ErrNoPoint and ErrNoBase", err)
	}
	if err != nil && !strings.Contains(err.Error(), "the oldest is of ") {
		t.Errorf("an hour ago: %v does not say when the oldest base is", err)
	}
	_, err = replay.Locate(context.Background(), r.view(),
		replay.Selector{Kind: replay.AtTime, Time: time.Now().Add(time.Hour)}, nil)
	if !errors.Is(err, replay.ErrNoPoint) || !strings.Contains(err.Error(), "after the last byte") {
		t.Errorf("in an hour: %v, want ErrNoPoint", err)
	}
}

func TestOffsetsOutside(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	srv.MustDo("SET", "k", 1)
	follow := proxytest.StartServer(t, serverArgs...)
	follow.MustDo("REPLICAOF", "127.0.0.1", srv.Port) // so that offsets count from here on
	proxytest.Poll(t, "the replica", func() bool {
		return follow.Info("replication")["master_link_status"] == "up"
	})
	srv.MustDo("SET", "k", 2)
	r := record(t, srv)
	end := r.caughtUp()
	for _, row := range []struct {
		sel  replay.Selector
		want error
	}{
		{replay.Selector{Kind: replay.AtOffset, Offset: end + 1000}, replay.ErrNoPoint},
		{replay.Selector{Kind: replay.AtOffset, Offset: 1}, journal.ErrNoBase},
		{replay.Selector{Timeline: 9}, replay.ErrNoPoint},
	} {
		if _, err := replay.Locate(context.Background(), r.view(), row.sel, nil); !errors.Is(err,
			row.want) {
			t.Errorf("%+v: %v, want %v", row.sel, err, row.want)
		}
	}
}

// TestBranches loses a tail and restores both what the primary lost and what it did instead.
func TestBranches(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		r := record(t, srv)
		srv.MustDo("SELECT", 2)
		srv.MustDo("SET", "kept", 1)
		srv.Save()
		fork, atFork := offset(srv), digest(srv)
		srv.MustDo("SET", "lost", 1)
		lost := digest(srv)
		r.caughtUp()
		srv.Kill()
		srv.Restart()
		proxytest.Poll(t, "a new timeline", func() bool {
			return r.tap.Confirmed().Timeline == 2
		})
		srv.MustDo("SET", "instead", 1)
		instead := digest(srv)
		r.caughtUp()
		dst := r.fresh()
		for _, row := range []struct {
			name string
			sel  replay.Selector
			want string
		}{
			{"the new end", replay.Selector{}, instead},
			{"the lost tail", replay.Selector{Timeline: 1}, lost},
			{"the fork on the old timeline", replay.Selector{Kind: replay.AtOffset, Timeline: 1,
				Offset: fork}, atFork},
			{"the fork on the new timeline", replay.Selector{Kind: replay.AtOffset, Offset: fork},
				atFork},
		} {
			if got := r.restore(dst, r.locate(row.sel)); got != row.want {
				t.Errorf("%s: digest %s, want %s", row.name, got, row.want)
			}
		}
	}, serverArgs...)
}

func TestAcrossGap(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16kb",
		"--enable-debug-command", "yes")
	r := record(t, srv)
	srv.MustDo("SET", "a", 1)
	before, want := r.caughtUp(), digest(srv)
	r.stop()
	srv.MustDo("SET", "b", strings.Repeat("x", 1<<20))
	r.again()
	srv.MustDo("SET", "c", 1)
	after := digest(srv)
	r.caughtUp()
	gap := r.view().Gaps()[0]
	dst := r.fresh()
	if got := r.restore(dst, r.locate(replay.Selector{Kind: replay.AtOffset, Offset: before})); got !=
		want {
		t.Errorf("before the gap: digest %s, want %s", got, want)
	}
	if got := r.restore(dst, r.locate(replay.Selector{})); got != after {
		t.Errorf("after the gap: digest %s, want %s", got, after)
	}
	_, err := replay.Locate(context.Background(), r.view(),
		replay.Selector{Kind: replay.AtOffset, Offset: (gap.From + gap.To) / 2}, nil)
	if !errors.Is(err, journal.ErrGap) {
		t.Errorf("within the gap: %v, want ErrGap", err)
	}
	var names, missing []string
	err = replay.Commands(context.Background(), r.view(), replay.Walk{
		Gap: func(g journal.Gap) {
			missing = append(missing, fmt.Sprint(g.From == gap.From, g.To == gap.To))
		}}, func(c *stream.Command) error {
		if c.Is("SET") {
			names = append(names, fmt.Sprintf("%s in %d", c.Args[1], c.DB))
		}
		return nil
	})
	if got, want := strings.Join(names, ", "), "a in 0, c in 0"; err != nil || got != want ||
		strings.Join(missing, ", ") != "true true" {
		t.Errorf("commands %q, missing %q (%v), want %q and the gap", got, missing, err, want)
	}
}

func TestCommandsAcrossBases(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	conn := srv.Client().Conn()
	defer conn.Close()
	ctx := context.Background()
	var offsets []int64
	for i := range 6 {
		for _, c := range [][]any{{"SELECT", i % 3}, {"SET", "k" + itoa(i), strings.Repeat("v", 300)}} {
			if err := conn.Do(ctx, c...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		offsets = append(offsets, offset(srv))
		if i == 2 {
			if _, err := r.tap.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.caughtUp()
	for from := range offsets {
		for to := from + 1; to < len(offsets); to++ {
			var got, want []string
			err := replay.Commands(ctx, r.view(), replay.Walk{From: offsets[from],
				To: offsets[to], MaxArg: 10}, func(c *stream.Command) error {
				if c.Is("SET") {
					got = append(got, fmt.Sprintf("%s %s %d", c.Args[1], c.Args[2], c.DB))
				}
				return nil
			})
			for i := from + 1; i <= to; i++ {
				want = append(want, fmt.Sprintf("k%d vvvvvvvvvv %d", i, i%3))
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%d to %d: got %q (%v), want %q", from, to, got, err, want)
			}
		}
	}
}
