package replay_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// walked is the keys of the SET commands that a walk meets.
func walked(t *testing.T, view *journal.View, w replay.Walk) string {
	t.Helper()
	var keys []string
	err := replay.Commands(context.Background(), view, w, func(c *stream.Command) error {
		if c.Is("SET") {
			keys = append(keys, string(c.Args[1])+"@"+strconv.Itoa(c.DB))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(keys, " ")
}

func TestCommands(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "a", 1)
	r.caughtUp()
	afterA, between := offset(srv), time.Now()
	srv.MustDo("SET", "b", 1)
	r.caughtUp()
	if _, err := r.tap.Snapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	afterB := offset(srv)
	srv.MustDo("SET", "c", 1)
	r.caughtUp()
	view := r.view()
	for _, c := range []struct {
		name string
		walk replay.Walk
		want string
	}{
		{"all", replay.Walk{}, "a@0 b@0 c@0"},
		{"from an offset", replay.Walk{From: afterA}, "b@0 c@0"},
		{"from within a command", replay.Walk{From: afterA - 5}, "b@0 c@0"},
		{"from behind a base", replay.Walk{From: afterB}, "c@0"},
		{"to an offset", replay.Walk{To: afterA}, "a@0"},
		{"since a time", replay.Walk{Since: between}, "b@0 c@0"},
		{"until a time", replay.Walk{Until: between}, "a@0"},
		{"nothing", replay.Walk{From: afterA, To: afterA}, ""},
	} {
		if got := walked(t, view, c.walk); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	stop := errors.New("stop")
	err := replay.Commands(context.Background(), view, replay.Walk{},
		func(*stream.Command) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("a callback's error: %v", err)
	}
	err = replay.Commands(context.Background(), view, replay.Walk{Timeline: 9}, nil)
	if !errors.Is(err, replay.ErrNoPoint) {
		t.Errorf("no such timeline: %v", err)
	}
}

// A walk tells of a gap, and goes on at the base behind it.
func TestCommandsAcrossAGap(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	j, err := journal.Open(journal.Options{Dir: "j", FS: vfstest.NewMem(), SegmentBytes: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("a", 40), Start: 10})
	if err != nil {
		t.Fatal(err)
	}
	put := func(at int64, key string) int64 {
		t.Helper()
		set := "*3\r\n$3\r\nSET\r\n$1\r\n" + key + "\r\n$1\r\n1\r\n"
		if err := j.Append(ctx, tl.ID, at, []byte(set)); err != nil {
			t.Fatal(err)
		}
		return at + int64(len(set))
	}
	end := put(10, "a")
	if err := j.AddGap(ctx, journal.Gap{Timeline: tl.ID, From: end, To: end + 1000}); err != nil {
		t.Fatal(err)
	}
	end = put(put(end+1000, "b"), "c")
	if err := j.WaitDurable(ctx, journal.Position{Timeline: tl.ID, Offset: end}); err != nil {
		t.Fatal(err)
	}
	view, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	gaps := 0
	got := walked(t, view, replay.Walk{Gap: func(journal.Gap) { gaps++ }})
	if got != "a@-1" || gaps != 1 {
		t.Errorf("%q with %d gaps", got, gaps)
	}
}

func TestParseSkip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]replay.Skip{
		"5": {From: 5}, "0": {}, "5-9": {From: 5, To: 9},
	} {
		if got, err := replay.ParseSkip(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-5", "9-5", "5-5", "5-", "5-9x", "5 ", "+5", "05"} {
		if got, err := replay.ParseSkip(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
