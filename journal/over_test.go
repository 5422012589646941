package journal

import (
	"errors"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// grow adds a stream in pieces, so that it has segments.
func grow(t *testing.T, j *Journal, tl TimelineID, end int64) {
	t.Helper()
	for at := int64(0); at < end; at += 4000 {
		add(t, j, tl, at, at+4000)
	}
}

// TestNoFreshBase: where no base comes, the way to the present stays, however long it gets, and
// Stats says how much above the limit that is.
func TestNoFreshBase(t *testing.T) {
	o := testOptions(vfstest.NewMem())
	o.Retention.Bytes = 64 << 10
	j := open(t, o)
	defer closeJournal(t, j)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	grow(t, j, tl.ID, 200_000)
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Over < 200_000-64<<10 || s.Over > s.SegmentBytes+s.BaseBytes {
		t.Errorf("%+v", s)
	}
	addBase(t, j, tl.ID, 200_000, time.Now())
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.Over != 0 || s.SegmentBytes+s.BaseBytes > 64<<10 {
		t.Errorf("with a fresh base: %+v", s)
	}
}

// TestLeadlessBound: a stream that no base leads to stays within the limit; but not what arrives
// while a base is being written, for that may lead to it.
func TestLeadlessBound(t *testing.T) {
	o := testOptions(vfstest.NewMem())
	o.Retention.Bytes = 64 << 10
	j := open(t, o)
	defer closeJournal(t, j)
	tl := start(t, j, "a", 0)
	w, err := j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	grow(t, j, tl.ID, 200_000)
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.SegmentBytes < 200_000 {
		t.Errorf("dropped under a base: %+v", s)
	}
	w.Abort()
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := j.Stats(); s.SegmentBytes > 64<<10 || s.Segments < 2 {
		t.Errorf("%+v", s)
	}
}

// TestSwollen: a stream that grows by more than a segment above the limit does not wait for the
// minute to be over.
func TestSwollen(t *testing.T) {
	o := testOptions(vfstest.NewMem())
	o.Retention.Bytes, o.Poll = 64<<10, time.Millisecond
	j := open(t, o)
	defer closeJournal(t, j)
	tl := start(t, j, "a", 0)
	grow(t, j, tl.ID, 200_000)
	proxytest.Poll(t, "retention", func() bool { return j.Stats().SegmentBytes <= 64<<10 })
}

// TestBaseThatDoesNotFit: one that can wait is refused before it goes beyond disk.stop; one without
// which nothing is covered may take the place of what the journal holds, too. Whether its size is
// known before makes no difference.
func TestBaseThatDoesNotFit(t *testing.T) {
	const mib = 1 << 20
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.SegmentBytes, o.Disk = 4*mib, DiskLimits{Warn: 50, Stop: 70}
	j := open(t, o)
	defer closeJournal(t, j)
	tl := start(t, j, "a", 0)
	for at := int64(0); at < 40*mib; at += mib {
		add(t, j, tl.ID, at, at+mib)
	}
	disk.SetCapacity(200 * mib) // of which 140 MiB may be taken, and the journal takes 40
	for _, row := range []struct {
		waits bool
		size  int64 // that fits
	}{{true, 95 * mib}, {false, 135 * mib}} {
		begin := func() *BaseWriter {
			w, err := j.NewBase()
			if err != nil {
				t.Fatal(err)
			}
			if row.waits {
				w.Wait()
			}
			return w
		}
		w := begin()
		if err := w.Expect(row.size); err != nil {
			t.Errorf("%+v: %v", row, err)
		}
		if err := w.Expect(row.size + 8*mib); !errors.Is(err, ErrSpace) {
			t.Errorf("%+v and 8 MiB: %v", row, err)
		}
		w.Abort()
		w = begin() // and where its size is unknown
		var err error
		for piece := make([]byte, mib); err == nil; {
			_, err = w.Write(piece)
		}
		if !errors.Is(err, ErrSpace) || w.Size() < row.size-baseSyncBytes || w.Size() > row.size+baseSyncBytes+mib {
			t.Errorf("%+v: %v after %d MiB", row, err, w.Size()/mib)
		}
		w.Abort()
	}
}
