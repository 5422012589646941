package replay_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// emptyRDB is the smallest snapshot that counts.
const emptyRDB = "REDIS0011\xff\x00\x00\x00\x00\x00\x00\x00\x00"

// handMade is a journal with a base of no keys at its beginning, where a database is selected.
func handMade(t *testing.T, o journal.Options, db int) *journal.Journal {
	t.Helper()
	o.Dir, o.Poll, o.SegmentBytes = "j", time.Hour, cmp.Or(o.SegmentBytes, 2<<20)
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	ctx := context.Background()
	tl, err := j.StartTimeline(ctx, journal.TimelineStart{ReplID: strings.Repeat("5a", 20)})
	if err != nil {
		t.Fatal(err)
	}
	w, err := j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(emptyRDB)) // Commit says whether that went well
	if _, err := w.Commit(ctx, journal.BaseInfo{Timeline: tl.ID, DB: db}); err != nil {
		t.Fatal(err)
	}
	return j
}

// write appends a piece of the stream, and returns where it ends once it is durable.
func write(t *testing.T, j *journal.Journal, piece string) int64 {
	t.Helper()
	p, ctx := j.Received(), context.Background()
	if err := j.Append(ctx, p.Timeline, p.Offset, []byte(piece)); err != nil {
		t.Fatal(err)
	}
	p.Offset += int64(len(piece))
	if err := j.WaitDurable(ctx, p); err != nil {
		t.Fatal(err)
	}
	return p.Offset
}

// TestClockSetBack: a time that came twice is answered with the first of its moments that a base
// leads to, and with a word about it. Others are not.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return clock.Add(time.Duration(minute) * time.Minute) }
	for name, segment := range map[string]int64{"in one segment": 0, "a segment each": 2 << 10} {
		disk, now := vfstest.NewMem(), proxytest.NewClock(at(-10))
		j := handMade(t, journal.Options{FS: disk, SegmentBytes: segment,
			Now: now.Now}, 0)
		ctx := context.Background()
		value := strings.Repeat("x", 1000)
		var ends []int64
		for _, minute := range []int{0, 1, 2, 3, -2, -1, 0, 4} {
			now.Set(at(minute))
			ends = append(ends, write(t, j, proxytest.Command("SET", "k", value)))
		}
		view, err := journal.OpenView(disk, "j")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			time  time.Time
			want  int64
			noted bool
		}{
			{at(-5), 0, false},
			{at(-1), 0, true}, // before the first, and behind the sixth
			{at(2), ends[2], true},
			{at(3), ends[6], false}, // by then all but the last had arrived
			{at(4), ends[7], false},
		} {
			p, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtTime, Time: row.time}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if p.Offset != row.want || p.Note != "" != row.noted {
				t.Errorf("%s: %v is offset %d, %q; want %d, noted: %v", name, row.time, p.Offset, p.Note,
					row.want, row.noted)
			}
		}
		_, err = replay.Locate(ctx, view, replay.Selector{Kind: replay.AtTime, Time: at(9)}, nil)
		if !errors.Is(err, replay.ErrNoPoint) || !strings.Contains(err.Error(), "2026-03-01T12:04:00Z") {
			t.Errorf("%s: a moment after the last: %v, want ErrNoPoint and the last", name, err)
		}
	}
}

// TestOtherBranches are told of where they may be what is looked for.
func TestOtherBranches(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, serverArgs...)
	r := record(t, srv)
	srv.MustDo("SET", "kept", 1)
	srv.Save()
	srv.MustDo("SET", "lost", strings.Repeat("x", 1000))
	at := r.caughtUp()
	srv.MustDo("FLUSHALL")
	r.caughtUp()
	srv.Kill()
	srv.Restart()
	proxytest.Poll(t, "a new timeline", func() bool {
		return r.tap.Confirmed().Timeline == 2
	})
	for offset(srv) < at {
		srv.MustDo("SET", "instead", strings.Repeat("x", 1000))
	}
	r.caughtUp()
	view := r.view()
	flushall := replay.Selector{Kind: replay.BeforeCommand, Command: "flushall"}
	_, err := replay.Locate(context.Background(), view, flushall, nil)
	if !errors.Is(err, replay.ErrNoPoint) ||
		!strings.Contains(err.Error(), "timeline 1 from offset ") {
		t.Errorf("before a FLUSHALL that was lost: %v", err)
	}
	flushall.Timeline = 1
	if p := r.locate(flushall); p.Offset != at {
		t.Errorf("offset %d, want %d", p.Offset, at)
	}
	sel := replay.Selector{Kind: replay.AtOffset, Offset: at}
	if p := r.locate(sel); !strings.Contains(p.Note, "timeline 1") {
		t.Errorf("nothing is said of the other branch: %q", p.Note)
	}
	sel.Timeline = 2
	if p := r.locate(sel); p.Note != "" {
		t.Errorf("asked for timeline 2, told %q", p.Note)
	}
}
