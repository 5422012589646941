package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

func TestFullDisk(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.Poll = time.Millisecond
	var said proxytest.Log
	o.Logger = slog.New(slog.NewTextHandler(&said, nil))
	j := open(t, o)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	add(t, j, tl.ID, 0, 1000)
	disk.SetCapacity(70 << 10)
	if err := j.Append(t.Context(), tl.ID, 1000, contentOf(1000, 100_000)); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the disk to be full", func() bool { return j.Stats().State == StateFull })
	if got := j.Durable().Offset; got >= 100_000 {
		t.Fatalf("durable %d on a full disk", got)
	}
	if j.Err() != nil {
		t.Fatalf("failed: %v", j.Err())
	}
	proxytest.Poll(t, "attempts on the full disk", func() bool { return j.Stats().DiskErrors > 20 })
	if n := strings.Count(said.String(), "\n"); n > 8 { // three of them of the beginning
		t.Errorf("a full disk is news once, not %d times:\n%s", n, said.String())
	}
	disk.SetCapacity(1 << 20)
	if err := j.WaitDurable(t.Context(), Position{tl.ID, 100_000}); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the state to be good", func() bool { return j.Stats().State == StateOK })
	closeJournal(t, j)
	v := view(t, disk)
	wantContent(t, v, tl.ID, 0, 100_000)
	wantSound(t, v)
}

// A disk that has room, but not for a whole segment, is not full.
func TestFullDiskWithRoomForHalfASegment(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.Poll, o.SegmentBytes = time.Millisecond, 256<<10
	j := open(t, o)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	add(t, j, tl.ID, 0, 1000)
	room := func(bytes int64) {
		t.Helper()
		disk.SetCapacity(1 << 30)
		u, err := disk.Usage(o.Dir)
		if err != nil {
			t.Fatal(err)
		}
		disk.SetCapacity(u.Total - u.Free + bytes)
	}
	room(0)
	const piece = 20_000
	end := int64(1000)
	for ; j.Stats().State != StateFull; end += piece {
		if err := j.Append(t.Context(), tl.ID, end, contentOf(end, end+piece)); err != nil {
			t.Fatal(err)
		}
		proxytest.Poll(t, "the piece to be durable, or the disk full", func() bool {
			return j.Durable().Offset == end+piece || j.Stats().State == StateFull
		})
	}
	room(o.SegmentBytes / 2)
	if err := j.WaitDurable(t.Context(), Position{tl.ID, end}); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the state to be good", func() bool { return j.Stats().State != StateFull })
	closeJournal(t, j)
	v := view(t, disk)
	wantContent(t, v, tl.ID, 0, end)
	wantSound(t, v)
}

func TestDiskFullWithinRetention(t *testing.T) {
	disk := newFaultyDisk()
	o := testOptions(disk.fs())
	o.Poll = time.Millisecond
	o.Retention = Retention{Age: time.Minute}
	j := open(t, o)
	tl := start(t, j, "a", 0)
	old := addBase(t, j, tl.ID, 0, time.Now().Add(-2*time.Hour))
	add(t, j, tl.ID, 0, 1000)
	addBase(t, j, tl.ID, 1000, time.Now().Add(-time.Hour))
	disk.fail(func(op vfstest.Op) error {
		_, err := disk.Stat(j.path(old.File))
		if err == nil && (op.Kind == vfstest.OpWrite || op.Kind == vfstest.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), proxytest.PollTimeout)
	defer cancel()
	if err := j.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	add(t, j, tl.ID, 1000, 2000)
	disk.fail(nil)
	closeJournal(t, j)
	v := view(t, disk.Mem)
	if bases := v.Bases(); len(bases) != 1 || bases[0].Missing {
		t.Errorf("bases %+v, want the second one", bases)
	}
	wantContent(t, v, tl.ID, 0, 2000)
	wantSound(t, v)
}

func TestOpenOnFullDisk(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	add(t, j, tl.ID, 0, 200_000)
	addBase(t, j, tl.ID, 200_000, time.Now())
	add(t, j, tl.ID, 200_000, 201_000)
	closeJournal(t, j)
	var used int64
	names, err := disk.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		st, err := disk.Stat(testDir + "/" + n)
		if err != nil {
			t.Fatal(err)
		}
		used += st.Size
	}
	disk.SetCapacity(used + 8<<10)
	o := testOptions(disk)
	o.Poll = time.Millisecond
	j = open(t, o)
	if s := j.Stats(); s.DiskErrors == 0 || s.Bases != 2 {
		t.Fatalf("the disk was not full: %+v", s)
	}
	add(t, j, tl.ID, 201_000, 301_000)
	if s := j.Stats(); s.Bases != 1 {
		t.Errorf("%d bases left, want the last", s.Bases)
	}
	closeJournal(t, j)
	v := view(t, disk)
	wantContent(t, v, tl.ID, 200_000, 301_000)
	wantSound(t, v)
}

func TestOpenTornOnFullDisk(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.SegmentBytes = 64 << 10
	j := open(t, o)
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 1000)
	torn := disk.Clone()
	end := j.Stats().SegmentBytes
	name := j.segments[0].File
	closeJournal(t, j)
	f, err := torn.OpenReadWrite(j.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte("torn"), 1000), end); err != nil {
		t.Fatal(err)
	}
	torn.SetCapacity(64 << 10)
	o.FS = torn
	j = open(t, o)
	cur, _ := j.Current()
	torn.SetCapacity(0)
	add(t, j, tl.ID, cur.End, 2000)
	closeJournal(t, j)
	names, err := torn.List(testDir)
	if err != nil || !slices.ContainsFunc(names, func(n string) bool {
		return strings.HasSuffix(n, brokenSuffix)
	}) {
		t.Errorf("no copy of what was cut off: %v, %v", names, err)
	}
	v := view(t, torn)
	wantContent(t, v, tl.ID, 0, 2000)
	wantSound(t, v)
}

func TestDiskLimits(t *testing.T) {
	disk := vfstest.NewMem()
	disk.SetCapacity(1 << 20)
	o := testOptions(disk)
	o.Poll = time.Millisecond
	o.Disk = DiskLimits{Warn: 50, Stop: 80}
	j := open(t, o)
	tl := start(t, j, "a", 0)
	if s := j.Stats(); s.State != StateOK || s.DiskPercent <= 0 {
		t.Fatalf("%+v", s)
	}
	other, err := disk.Create("elsewhere/file")
	if err != nil {
		t.Fatal(err)
	}
	fill := func(percent int64) {
		if err := other.Truncate(percent << 20 / 100); err != nil {
			t.Fatal(err)
		}
	}
	fill(60)
	proxytest.Poll(t, "the warning", func() bool { return j.Stats().State == StateWarn })
	add(t, j, tl.ID, 0, 1000)
	fill(85)
	proxytest.Poll(t, "the stop", func() bool { return j.Stats().State == StateFull })
	if err := j.Append(t.Context(), tl.ID, 1000, contentOf(1000, 2000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := j.WaitDurable(ctx, Position{tl.ID, 2000}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("acknowledged above the limit: %v", err)
	}
	fill(10)
	if err := j.WaitDurable(t.Context(), Position{tl.ID, 2000}); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the state to be good", func() bool { return j.Stats().State == StateOK })
}

func TestCloseWhileFull(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.Poll = time.Millisecond
	j := open(t, o)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now()) // so that a full disk takes nothing: retention would
	add(t, j, tl.ID, 0, 1000)
	disk.SetCapacity(1)
	if err := j.Append(t.Context(), tl.ID, 1000, contentOf(1000, 100_000)); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the disk to be full", func() bool { return j.Stats().State == StateFull })
	if err := j.Close(); !errors.Is(err, errNoRoom) {
		t.Fatalf("close: %v", err)
	}
	disk.SetCapacity(0)
	wantContent(t, view(t, disk), tl.ID, 0, 1000)
}
