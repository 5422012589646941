package journal

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// While the stream is slow the next segment's file is there before it is needed, filled with
// zeros; Close leaves none behind.
func TestSpareSegment(t *testing.T) {
	disk := newFaultyDisk()
	o := testOptions(disk.fs())
	o.Poll = time.Millisecond
	j := open(t, o)
	tl := start(t, j, "a", 0)
	spare := func() string {
		names, err := disk.List(testDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if strings.HasPrefix(n, "spare-") {
				if st, err := disk.Stat(testDir + "/" + n); err == nil && st.Size == o.SegmentBytes {
					return n
				}
			}
		}
		return ""
	}
	ready := func() bool { j.mu.Lock(); defer j.mu.Unlock(); return j.spare != "" }
	proxytest.Poll(t, "a spare", ready)
	first := spare()
	disk.fail(times(1, vfstest.OpCreate, segmentSuffix, errors.New("made anew"))) // only a spare will do
	at := int64(0)
	for n := j.Stats().Segments; n == j.Stats().Segments && at < 1<<20; {
		add(t, j, tl.ID, at, at+1000)
		at += 1000
	}
	if disk.failures() != 0 {
		t.Error("the segment was not made from the spare")
	}
	disk.fail(nil)
	if first == "" {
		t.Error("there was no spare file")
	}
	closeJournal(t, j)
	if s := spare(); s != "" {
		t.Errorf("%s is left", s)
	}
	wantContent(t, view(t, disk.Mem), tl.ID, 0, at)
}

// TestNoSpareInABurst: while the stream is fast no spare is written beside it, however slow it was
// in the minute before.
func TestNoSpareInABurst(t *testing.T) {
	disk := newFaultyDisk()
	o := testOptions(disk.fs())
	o.Poll = time.Hour // the test is the keeper
	j := open(t, o)
	defer closeJournal(t, j)
	try := func(bytes int64) bool {
		j.mu.Lock()
		j.stats.streamBytes += bytes
		j.mu.Unlock()
		j.noteRate()
		j.disk.rate = 0 // over the minute
		if err := j.keepSpare(); err != nil {
			t.Fatal(err)
		}
		return j.spare != ""
	}
	if try(int64(o.Poll.Seconds()) * o.SegmentBytes) {
		t.Error("a spare was made where a segment lasts a second")
	}
	if !try(0) {
		t.Error("no spare was made when nothing came")
	}
}

func TestTimeToFull(t *testing.T) {
	u := vfs.Usage{Total: 1000, Free: 500}
	for _, row := range []struct {
		u    vfs.Usage
		stop int
		rate float64
		want time.Duration
	}{
		{u, 100, 10, 50 * time.Second},
		{u, 0, 10, 50 * time.Second},
		{u, 80, 10, 30 * time.Second},
		{u, 40, 10, 0},
		{u, 100, 0, 0},
		{vfs.Usage{}, 100, 10, 0},
		{vfs.Usage{Total: 1 << 62, Free: 1 << 61}, 100, 1, 100 * 365 * 24 * time.Hour},
	} {
		if got := timeToFull(row.u, row.stop, row.rate); got != row.want {
			t.Errorf("%+v stop %d rate %f: %v, want %v", row.u, row.stop, row.rate, got, row.want)
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{Dir: "d"}
	if err := good.fill(); err != nil || good.FS == nil || good.SegmentBytes != 64<<20 ||
		good.MaxPending != 64<<20 || good.Poll != time.Second || good.Logger == nil || good.Now == nil {
		t.Errorf("%+v, %v", good, err)
	}
	for name, o := range map[string]Options{
		"no folder":      {},
		"segment":        {Dir: "d", SegmentBytes: -1},
		"pending":        {Dir: "d", MaxPending: -1},
		"poll":           {Dir: "d", Poll: -1},
		"age":            {Dir: "d", Retention: Retention{Age: -1}},
		"bytes":          {Dir: "d", Retention: Retention{Bytes: -1}},
		"percent":        {Dir: "d", Disk: DiskLimits{Stop: 101}},
		"warn over stop": {Dir: "d", Disk: DiskLimits{Warn: 90, Stop: 80}},
	} {
		if err := o.fill(); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := Open(o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// Views and readers beside a writer that rotates and removes: whatever they give is right, and
// what they cannot give they say.
func TestReadWhileWriting(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentBytes: 64 << 10, Poll: 2 * time.Millisecond,
		Retention: Retention{Bytes: 512 << 10}}
	j := open(t, o)
	tl := start(t, j, "a", 0)
	done := make(chan struct{})
	stop := sync.OnceFunc(func() { close(done) })
	defer stop()
	var readers sync.WaitGroup
	for n := range 3 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				readOnce(t, j, o.Dir, n)
			}
		}()
	}
	const total = 2 << 20
	for at := int64(0); at < total; at += 32 << 10 {
		if at%(256<<10) == 0 {
			addBase(t, j, tl.ID, at, time.Now())
			if err := j.Retain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		add(t, j, tl.ID, at, at+32<<10)
	}
	stop()
	readers.Wait()
	closeJournal(t, j)
	v, err := OpenView(nil, o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	bases := v.Bases()
	wantContent(t, v, tl.ID, bases[0].Offset, total)
	if first := v.Segments()[0].Seq; first == 1 {
		t.Error("retention removed nothing")
	}
}

// readOnce looks at the journal from inside or outside and reads from its newest base.
func readOnce(t *testing.T, j *Journal, dir string, n int) {
	v, err := j.View()
	if n > 0 {
		v, err = OpenView(nil, dir)
	}
	if errors.Is(err, ErrPruned) || errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	cur, ok := v.Current()
	if !ok || len(v.Bases()) == 0 {
		return
	}
	b, err := v.BaseFor(cur.ID, cur.End)
	if err != nil {
		if !errors.Is(err, ErrNoBase) {
			t.Error(err)
		}
		return
	}
	got, err := readAll(v, cur.ID, b.Offset)
	if err != nil && !errors.Is(err, ErrPruned) {
		t.Errorf("from %d: %v", b.Offset, err)
	}
	if string(got) != string(contentOf(b.Offset, b.Offset+int64(len(got)))) {
		t.Errorf("other bytes from %d", b.Offset)
	}
	if err == nil && b.Offset+int64(len(got)) != cur.End {
		t.Errorf("%d bytes from %d, want up to %d", len(got), b.Offset, cur.End)
	}
}
