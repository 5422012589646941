package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

func TestAppendCloseOpenRead(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	if _, ok := j.Current(); ok {
		t.Fatal("an empty journal has a timeline")
	}
	tl := start(t, j, "aaa", 100)
	at := int64(100)
	for n := int64(1); n < 800; n += 7 { // over several segments
		add(t, j, tl.ID, at, at+n)
		at += n
	}
	if got, want := j.Durable(), (Position{tl.ID, at}); got != want || j.Received() != want {
		t.Fatalf("durable %v, received %v, want %v", got, j.Received(), want)
	}
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, v, tl.ID, 100, at)
	wantContent(t, view(t, disk), tl.ID, 100, at)
	closeJournal(t, j)

	v = view(t, disk)
	wantContent(t, v, tl.ID, 100, at)
	wantContent(t, v, tl.ID, at-1, at)
	wantContent(t, v, tl.ID, at, at)
	wantSound(t, v)
	if len(v.Segments()) < 3 {
		t.Fatalf("%d segments: the test needs more", len(v.Segments()))
	}

	j = open(t, testOptions(disk))
	if cur, ok := j.Current(); !ok || cur.End != at || cur.ReplID != "aaa" || cur.Why != "test" {
		t.Fatalf("after opening: %+v", cur)
	}
	add(t, j, tl.ID, at, at+50)
	closeJournal(t, j)
	wantContent(t, view(t, disk), tl.ID, 100, at+50)
}

func TestAppendRefuses(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	ctx := t.Context()
	if err := j.Append(ctx, 1, 0, []byte("x")); !errors.Is(err, ErrTimeline) {
		t.Errorf("without a timeline: %v", err)
	}
	tl := start(t, j, "a", 10)
	for _, offset := range []int64{9, 11} {
		if err := j.Append(ctx, tl.ID, offset, []byte("x")); !errors.Is(err, ErrOffset) ||
			!strings.Contains(err.Error(), "want 10") {
			t.Errorf("at %d: %v", offset, err)
		}
	}
	start(t, j, "b", 5)
	if err := j.Append(ctx, tl.ID, 10, []byte("x")); !errors.Is(err, ErrTimeline) {
		t.Errorf("to an old timeline: %v", err)
	}
	for _, s := range []TimelineStart{{Start: -1}, {Start: 5, Fork: 3}, {Start: 5, Parent: 1, Fork: 6},
		{Start: 20, Parent: 1, Fork: 11}, {Start: 20, Parent: 9, Fork: 1}} {
		if _, err := j.StartTimeline(ctx, s); !errors.Is(err, ErrRange) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	closeJournal(t, j)
	if err := j.Append(ctx, 2, 5, []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A history that forks is read through its parents; each branch keeps its own end.
func TestTimelines(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	ctx := t.Context()
	a := start(t, j, "a", 0)
	add(t, j, a.ID, 0, 1000)
	b, err := j.StartTimeline(ctx, TimelineStart{ReplID: "b", Start: 1000, Parent: a.ID, Fork: 1000})
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, b.ID, 1000, 3000)
	c, err := j.StartTimeline(ctx, TimelineStart{ReplID: "c", Start: 2000, Parent: b.ID, Fork: 1500})
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, c.ID, 2000, 2500)
	i := Incident{Timeline: b.ID, From: 1500, To: 3000, Commands: 3, Why: "lost"}
	if err := j.AddIncident(ctx, i); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		closeJournal(t, j)
		v := view(t, disk)
		wantContent(t, v, a.ID, 0, 1000)
		wantContent(t, v, b.ID, 0, 3000)
		wantContent(t, v, c.ID, 2000, 2500)
		got, err := readAll(v, c.ID, 0)
		var gap *GapError
		if !errors.As(err, &gap) || gap.From != 1500 || gap.To != 2000 || len(got) != 1500 {
			t.Errorf("over the fork: %d bytes, %v", len(got), err)
		}
		if all := v.Incidents(); len(all) != 1 || all[0].Commands != 3 || all[0].To != 3000 {
			t.Errorf("incidents %+v", all)
		}
		wantSound(t, v)
		j = open(t, testOptions(disk))
	}
}

func TestGap(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	ctx := t.Context()
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 100)
	if err := j.AddGap(ctx, Gap{Timeline: tl.ID, From: 99, To: 150}); !errors.Is(err, ErrOffset) {
		t.Errorf("gap inside: %v", err)
	}
	if err := j.AddGap(ctx, Gap{Timeline: tl.ID, From: 100, To: 100}); !errors.Is(err, ErrRange) {
		t.Errorf("gap of nothing: %v", err)
	}
	if err := j.AddGap(ctx, Gap{Timeline: tl.ID, From: 100, To: 150, Why: "backlog"}); err != nil {
		t.Fatal(err)
	}
	if got := j.Durable().Offset; got != 150 {
		t.Errorf("durable %d after the gap, want 150", got)
	}
	addBase(t, j, tl.ID, 0, time.Time{})
	addBase(t, j, tl.ID, 150, time.Time{})
	add(t, j, tl.ID, 150, 300)
	for range 3 { // also as carried frames
		closeJournal(t, j)
		v := view(t, disk)
		var gap *GapError
		if _, err := readAll(v, tl.ID, 0); !errors.As(err, &gap) || gap.Why != "backlog" {
			t.Errorf("read over the gap: %v", err)
		}
		wantContent(t, v, tl.ID, 150, 300)
		for offset, want := range map[int64]int64{0: 0, 99: 0, 100: 0, 150: 150, 300: 150} {
			if b, err := v.BaseFor(tl.ID, offset); err != nil || b.Offset != want {
				t.Errorf("base for %d: %d, %v; want %d", offset, b.Offset, err, want)
			}
		}
		if _, err := v.BaseFor(tl.ID, 120); !errors.Is(err, ErrNoBase) || !errors.Is(err, ErrGap) {
			t.Errorf("base inside the gap: %v", err)
		}
		j = open(t, testOptions(disk))
	}
}

func TestBaseFor(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	a := start(t, j, "a", 100)
	addBase(t, j, a.ID, 100, time.Time{})
	add(t, j, a.ID, 100, 1000)
	addBase(t, j, a.ID, 700, time.Time{})
	b, err := j.StartTimeline(t.Context(),
		TimelineStart{ReplID: "b", Start: 500, Parent: a.ID, Fork: 500})
	if err != nil {
		t.Fatal(err)
	}
	add(t, j, b.ID, 500, 900)
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		tl     TimelineID
		offset int64
		want   int64
	}{{a.ID, 100, 100}, {a.ID, 699, 100}, {a.ID, 700, 700}, {a.ID, 1000, 700}, {b.ID, 900, 100}} {
		if got, err := v.BaseFor(row.tl, row.offset); err != nil || got.Offset != row.want {
			t.Errorf("%d@%d: %+v, %v; want %d", row.tl, row.offset, got, err, row.want)
		}
	}
	for _, row := range []Position{{a.ID, 99}, {a.ID, 1001}, {b.ID, 901}, {9, 100}} {
		if got, err := v.BaseFor(row.Timeline, row.Offset); !errors.Is(err, ErrNoBase) {
			t.Errorf("%v: %+v, %v", row, got, err)
		}
	}
}

// A second writer is refused and told who the first is.
func TestLock(t *testing.T) {
	for name, o := range map[string]Options{
		"memory": testOptions(vfstest.NewMem()),
		"disk":   {Dir: t.TempDir() + "/a/b", SegmentBytes: 64 << 10, Poll: time.Hour},
	} {
		j := open(t, o)
		_, err := Open(o)
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "pid ") {
			t.Errorf("%s: %v", name, err)
		}
		closeJournal(t, j)
		closeJournal(t, open(t, o))
	}
}

// What is appended while an fsync runs is made durable by the next one.
func TestGroupCommit(t *testing.T) {
	disk := &slowDisk{Mem: vfstest.NewMem()}
	j := open(t, testOptions(disk.fs()))
	tl := start(t, j, "a", 0)
	disk.hold()
	before := j.Stats().Fsyncs
	for at := int64(0); at < 5000; at++ {
		if err := j.Append(t.Context(), tl.ID, at, contentOf(at, at+1)); err != nil {
			t.Fatal(err)
		}
	}
	disk.release()
	if err := j.WaitDurable(t.Context(), Position{tl.ID, 5000}); err != nil {
		t.Fatal(err)
	}
	if n := j.Stats().Fsyncs - before; n > 2 {
		t.Errorf("%d fsyncs for 5000 appends during one", n)
	}
}

// Append takes MaxPending and not much more while the disk stands still, and goes on after.
func TestPendingIsBounded(t *testing.T) {
	disk := &slowDisk{Mem: vfstest.NewMem()}
	o := testOptions(disk.fs())
	o.MaxPending = 100_000
	j := open(t, o)
	tl := start(t, j, "a", 0)
	disk.hold()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Append(ctx, tl.ID, 0, contentOf(0, 1<<20)) }()
	proxytest.Poll(t, "as much to wait as may", func() bool { return j.Stats().Pending >= o.MaxPending })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatalf("append that must wait: %v", err)
	}
	got := j.Received().Offset
	if p := j.Stats().Pending; got >= 1<<20 || p > o.MaxPending+512<<10 {
		t.Fatalf("received %d, pending %d", got, p)
	}
	disk.release()
	add(t, j, tl.ID, got, 1<<20)
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, v, tl.ID, 0, 1<<20)
}

func TestSubscribe(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	var mu sync.Mutex
	var seen []Position
	cancel := j.Subscribe(func(p Position) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p)
	})
	tl := start(t, j, "a", 7)
	for at := int64(7); at < 107; at += 10 {
		add(t, j, tl.ID, at, at+10)
	}
	proxytest.Poll(t, "the last position", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) > 0 && seen[len(seen)-1] == (Position{tl.ID, 107})
	})
	mu.Lock()
	defer mu.Unlock()
	if !slices.IsSortedFunc(seen, func(a, b Position) int { return int(a.Offset - b.Offset) }) {
		t.Errorf("positions go back: %v", seen)
	}
	cancel()
}

// On the machine's own disk everything is as in memory.
func TestRealDisk(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "data", "journal"), SegmentBytes: 64 << 10,
		Poll: 5 * time.Millisecond}
	j := open(t, o)
	for _, dir := range []string{o.Dir, filepath.Dir(o.Dir)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want it to be its owner's", dir, info.Mode(), err)
		}
	}
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	for at := int64(0); at < 1<<20; at += 8 << 10 {
		add(t, j, tl.ID, at, at+8<<10)
	}
	closeJournal(t, j)
	v, err := OpenView(nil, o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, v, tl.ID, 0, 1<<20)
	wantSound(t, v)
	names, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", e.Name(), info.Mode())
		}
	}
	closeJournal(t, open(t, o))
}
