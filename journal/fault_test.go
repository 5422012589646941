package journal

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// faultyDisk fails the operations that its rule names.
type faultyDisk struct {
	*vfstest.Mem
	mu   sync.Mutex
	rule func(op vfstest.Op) error // nil: none
	hits int
}

func newFaultyDisk() *faultyDisk { return &faultyDisk{Mem: vfstest.NewMem()} }

func (d *faultyDisk) fs() vfs.FS {
	return vfstest.WithFaults(d.Mem, func(op vfstest.Op) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.rule == nil {
			return nil
		}
		err := d.rule(op)
		if err != nil {
			d.hits++
		}
		return err
	})
}

func (d *faultyDisk) fail(rule func(op vfstest.Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rule, d.hits = rule, 0
}

func (d *faultyDisk) failures() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// A countdown strikes once, at the operation before which as many have passed as it was set to; below
// zero it does not. The journal's goroutines count down side by side.
type countdown struct{ atomic.Int64 }

func (c *countdown) strikes() bool {
	for {
		n := c.Load()
		if n < 0 {
			return false
		}
		if c.CompareAndSwap(n, n-1) {
			return n == 0
		}
	}
}

// times fails the first n operations of a kind on files whose name contains part.
func times(n int, kind vfstest.Kind, part string, err error) func(vfstest.Op) error {
	var passed atomic.Int64
	return func(op vfstest.Op) error {
		if op.Kind != kind || !strings.Contains(op.Path, part) || passed.Add(1) > int64(n) {
			return nil
		}
		return err
	}
}

// A write or fsync that fails once costs a segment and nothing else: the bytes are still in memory
// and go into a new file; the old one is never synced again.
func TestErrorIsSteppedRound(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.OpWrite, vfstest.OpSync} {
		for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
			disk := newFaultyDisk()
			o := testOptions(disk.fs())
			o.Poll = time.Millisecond
			j := open(t, o)
			tl := start(t, j, "a", 0)
			add(t, j, tl.ID, 0, 1000)
			first := j.segments[len(j.segments)-1].File
			disk.fail(times(1, kind, first, err))
			add(t, j, tl.ID, 1000, 2000)
			if disk.failures() != 1 {
				t.Fatalf("%s: nothing failed", kind)
			}
			disk.fail(func(op vfstest.Op) error { // nothing may touch that file again
				if strings.Contains(op.Path, first) && op.Kind != vfstest.OpRead && op.Kind != vfstest.OpOpen &&
					op.Kind != vfstest.OpClose {
					return errors.New("touched")
				}
				return nil
			})
			add(t, j, tl.ID, 2000, 3000)
			s := j.Stats()
			if s.State != StateOK || !errors.Is(s.FirstError, err) || s.DiskErrors == 0 {
				t.Errorf("%s: %+v", kind, s)
			}
			crashed := disk.CrashClone(nil)
			closeJournal(t, j)
			disk.fail(nil)
			for _, d := range []*vfstest.Mem{crashed, disk.Mem} {
				v := view(t, d)
				wantContent(t, v, tl.ID, 0, 3000)
				wantSound(t, v)
				if !v.Segments()[0].Suspect {
					t.Errorf("the segment is not marked: %+v", v.Segments()[0])
				}
				j := open(t, testOptions(d))
				if st, err := d.Stat(j.path(first)); err != nil || st.Size != v.Segments()[0].Bytes {
					t.Errorf("%s has %d bytes (%v), want %d: the rest stands elsewhere", first, st.Size, err,
						v.Segments()[0].Bytes)
				}
				wantChained(t, d, v.Segments()[0])
				add(t, j, tl.ID, 3000, 3100)
				closeJournal(t, j)
				wantContent(t, view(t, d), tl.ID, 0, 3100)
			}
		}
	}
}

// wantChained exchanges a segment that was given up, which has no seal, for one that is as good in
// itself: the next one knows better.
func wantChained(t *testing.T, disk *vfstest.Mem, s Segment) {
	t.Helper()
	other := disk.Clone()
	f, err := other.OpenReadWrite(testDir + "/" + s.File)
	if err != nil {
		t.Fatal(err)
	}
	r, h, err := segment.NewReader(f, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	var batches []*segment.Block
	for b := segment.NewBlock(); ; {
		fr, payload, err := r.Next()
		if err != nil {
			break
		}
		if fr.Type == segment.Commit {
			batches, b = append(batches, b), segment.NewBlock()
			continue
		}
		fr.Time++
		b.Add(fr, payload)
	}
	w, err := segment.NewWriter(f, h, s.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := errors.Join(w.Write([]*segment.Block{b}, 1), w.Sync()); err != nil {
			t.Fatal(err)
		}
	}
	if w.End() != s.Bytes {
		t.Fatalf("written %d bytes, want %d", w.End(), s.Bytes)
	}
	if _, err := OpenView(other, testDir); !errors.Is(err, ErrDamaged) {
		t.Errorf("another segment in its place: %v", err)
	}
}

// Pages whose fsync failed are seen until the machine stops, and are not on the disk. Open must not
// believe them: whatever it says is durable survives a power cut.
func TestOpenDoesNotTrustWhatItSees(t *testing.T) {
	for _, step := range []string{"fsync", "seal"} {
		disk := newFaultyDisk()
		j, err := Open(testOptions(disk.fs()))
		if err != nil {
			t.Fatal(err)
		}
		tl := start(t, j, "a", 0)
		add(t, j, tl.ID, 0, 1000)
		disk.fail(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpSync {
				disk.Forget(op.Path)
				disk.Forget(strings.TrimSuffix(op.Path, tmpSuffix)) // its name by now
				return syscall.EIO
			}
			return nil
		})
		if step == "fsync" {
			if err := j.Append(t.Context(), tl.ID, 1000, contentOf(1000, 2000)); err != nil {
				t.Fatal(err)
			}
			<-j.Failed()
		}
		if err := j.Close(); err == nil {
			t.Fatal("closed in good order")
		}
		disk.fail(nil)
		j = open(t, testOptions(disk.fs()))
		p := j.Durable()
		crashed := disk.CrashClone(nil)
		closeJournal(t, j)
		if p.Offset < 1000 {
			t.Errorf("%s: opened at %+v", step, p)
		}
		wantContent(t, view(t, crashed), tl.ID, 0, p.Offset)
		wantSound(t, view(t, crashed))
		closeJournal(t, open(t, testOptions(crashed)))
	}
}

// While the way round fails too nothing is acknowledged; everyone is told, and what was promised
// stays.
func TestErrorThatStaysFailsTheJournal(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.OpWrite, vfstest.OpSync, vfstest.OpSyncDir, vfstest.OpRename,
		vfstest.OpCreate} {
		disk := newFaultyDisk()
		j, err := Open(testOptions(disk.fs()))
		if err != nil {
			t.Fatal(err)
		}
		tl := start(t, j, "a", 0)
		add(t, j, tl.ID, 0, 1000)
		disk.fail(func(op vfstest.Op) error {
			if op.Kind == kind || op.Kind == vfstest.OpSync {
				return syscall.EIO
			}
			return nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), proxytest.PollTimeout)
		if err := j.Append(ctx, tl.ID, 1000, contentOf(1000, 1100)); err != nil {
			t.Fatal(err)
		}
		err = j.WaitDurable(ctx, Position{tl.ID, 1100})
		if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: wait: %v", kind, err)
		}
		<-j.Failed()
		for name, err := range map[string]error{
			"append":   j.Append(ctx, tl.ID, 1100, []byte("x")),
			"gap":      j.AddGap(ctx, Gap{Timeline: tl.ID, From: 1100, To: 1200}),
			"incident": j.AddIncident(ctx, Incident{Timeline: tl.ID}),
			"err":      j.Err(),
		} {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %s: %v", kind, name, err)
			}
		}
		if s := j.Stats(); s.State != StateFailed || s.Durable.Offset != 1000 {
			t.Errorf("%s: %+v", kind, s)
		}
		if err := j.Close(); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: close: %v", kind, err)
		}
		cancel()
		disk.fail(nil)
		for _, d := range []*vfstest.Mem{disk.CrashClone(nil), disk.Mem} {
			j := open(t, testOptions(d))
			cur, _ := j.Current()
			if cur.End < 1000 {
				t.Fatalf("%s: end %d after reopening", kind, cur.End)
			}
			add(t, j, tl.ID, cur.End, 2000)
			closeJournal(t, j)
			v := view(t, d)
			wantContent(t, v, tl.ID, 0, 2000)
			wantSound(t, v)
		}
	}
}

// A full disk stops acknowledgements and nothing else; they go on by themselves.
// A disk that becomes full just when retention has begun: the writer waits for room, and retention,
// which makes it, must not wait for the writer.
// A journal opens on a full disk, and retention makes room from there.
// A torn batch is copied before it is cut off, on a full disk too: the zeros behind it make room.
// Above Disk.Stop nothing is acknowledged; above Disk.Warn it is only said.
// Closing while nothing can be written says what is not durable.
// Open fails whole, whatever operation fails, and changes nothing that a later one needs.
func TestOpenFails(t *testing.T) {
	for n := 0; ; n++ {
		s := leave(t)
		var left countdown
		left.Store(int64(n))
		boom := errors.New("boom")
		o := testOptions(vfstest.WithFaults(s.disk, func(op vfstest.Op) error {
			if left.strikes() {
				return boom
			}
			return nil
		}))
		j, err := Open(o)
		if left.Load() >= 0 {
			left.Store(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			closeJournal(t, j)
			if n < 20 {
				t.Errorf("%d operations only", n)
			}
			return
		}
		if err == nil { // an operation whose failure does no harm
			if err := j.Close(); err != nil && !errors.Is(err, boom) {
				t.Fatalf("operation %d: close: %v", n, err)
			}
		} else if !errors.Is(err, boom) {
			t.Fatalf("operation %d: %v", n, err)
		}
		wantContent(t, view(t, s.disk), 1, 0, 40_000)
		closeJournal(t, open(t, testOptions(s.disk)))
	}
}

// A base that is not whole never counts, and leaves nothing behind.
func TestBadBases(t *testing.T) {
	disk := newFaultyDisk()
	j := open(t, testOptions(disk.fs()))
	tl := start(t, j, "a", 100)
	good := dumpOf("body")
	for _, row := range []struct {
		name string
		body []byte
		info BaseInfo
		rule func(vfstest.Op) error
		want error
	}{
		{"empty", nil, BaseInfo{Timeline: tl.ID, Offset: 100}, nil, ErrBase},
		{"no RDB", []byte(strings.Repeat("x", 99)), BaseInfo{Timeline: tl.ID, Offset: 100}, nil, ErrBase},
		{"cut short", good[:len(good)-1], BaseInfo{Timeline: tl.ID, Offset: 100}, nil, ErrBase},
		{"altered", append(append([]byte{}, good[:12]...), append([]byte{'X'}, good[13:]...)...),
			BaseInfo{Timeline: tl.ID, Offset: 100}, nil, ErrBase},
		{"no such timeline", good, BaseInfo{Timeline: 9, Offset: 100}, nil, ErrTimeline},
		{"before the timeline", good, BaseInfo{Timeline: tl.ID, Offset: 99}, nil, ErrRange},
		{"write fails", good, BaseInfo{Timeline: tl.ID, Offset: 100},
			times(1, vfstest.OpWrite, basePrefix, syscall.EIO), syscall.EIO},
		{"fsync fails", good, BaseInfo{Timeline: tl.ID, Offset: 100},
			times(1, vfstest.OpSync, basePrefix, syscall.EIO), syscall.EIO},
		{"reading back fails", good, BaseInfo{Timeline: tl.ID, Offset: 100},
			times(1, vfstest.OpRead, basePrefix, syscall.EIO), syscall.EIO},
		{"rename fails", good, BaseInfo{Timeline: tl.ID, Offset: 100},
			times(1, vfstest.OpRename, basePrefix, syscall.EIO), syscall.EIO},
		{"fsync of the folder fails", good, BaseInfo{Timeline: tl.ID, Offset: 100},
			times(1, vfstest.OpSyncDir, "", syscall.EIO), syscall.EIO},
	} {
		disk.fail(row.rule)
		w, err := j.NewBase()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(row.body) // Commit says it again
		if _, err := w.Commit(t.Context(), row.info); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		disk.fail(nil)
		names, err := disk.List(testDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if strings.HasPrefix(n, basePrefix) {
				t.Errorf("%s: %s is left", row.name, n)
			}
		}
	}
	if s := j.Stats(); s.Bases != 0 || s.State != StateOK {
		t.Errorf("%+v", s)
	}
	addBase(t, j, tl.ID, 100, time.Now())
	if s := j.Stats(); s.Bases != 1 {
		t.Errorf("%+v", s)
	}
}
