package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"holdfast/journal/rdb"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

const testDir = "journal"

// testOptions are those of a small journal whose keeper stays quiet.
func testOptions(disk vfs.FS) Options {
	return Options{Dir: testDir, FS: disk, SegmentBytes: 16 << 10, Poll: time.Hour,
		Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, o Options) *Journal {
	t.Helper()
	j, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFailed) {
			t.Error(err)
		}
	})
	return j
}

func closeJournal(t *testing.T, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// start begins a timeline without a parent.
func start(t *testing.T, j *Journal, id string, at int64) Timeline {
	t.Helper()
	tl, err := j.StartTimeline(t.Context(), TimelineStart{ReplID: id, Start: at, Why: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return tl
}

// pattern is each history from its offset 0 on, again and again.
var pattern = func() (p [1 << 16]byte) {
	for i := range p {
		p[i] = byte(i*31 + i>>8 + 7)
	}
	return p
}()

// contentOf is the part [from, to) of a history.
func contentOf(from, to int64) []byte {
	p := make([]byte, to-from)
	for n := 0; n < len(p); {
		n += copy(p[n:], pattern[(from+int64(n))%int64(len(pattern)):])
	}
	return p
}

// add appends [from, to) and waits until it is durable.
func add(t *testing.T, j *Journal, tl TimelineID, from, to int64) {
	t.Helper()
	if err := j.Append(t.Context(), tl, from, contentOf(from, to)); err != nil {
		t.Fatal(err)
	}
	if err := j.WaitDurable(t.Context(), Position{tl, to}); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a history from an offset to its end, or to the error.
func readAll(v *View, id TimelineID, from int64) ([]byte, error) {
	r, err := v.Reader(id, from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []byte
	at := from
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if c.Offset != at {
			return all, errors.New("chunk does not continue")
		}
		all = append(all, c.Data...)
		at += int64(len(c.Data))
	}
}

// wantContent checks that a view holds [from, to) of a history, and no more.
func wantContent(t *testing.T, v *View, id TimelineID, from, to int64) {
	t.Helper()
	got, err := readAll(v, id, from)
	if err != nil {
		t.Fatalf("read from %d: %v after %d bytes", from, err, len(got))
	}
	if !bytes.Equal(got, contentOf(from, to)) {
		t.Fatalf("read %d bytes from %d, want %d; or other bytes", len(got), from, to-from)
	}
}

func view(t *testing.T, disk vfs.FS) *View {
	t.Helper()
	v, err := OpenView(disk, testDir)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantSound checks that Verify finds nothing.
func wantSound(t *testing.T, v *View) {
	t.Helper()
	problems, err := v.Verify(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("verify: %s: %v", p.File, p.Err)
	}
}

// dumpOf makes something that looks like a snapshot from outside.
func dumpOf(body string) []byte {
	p := append([]byte("REDIS0011"), body...)
	p = append(p, rdbEOF)
	return binary.LittleEndian.AppendUint64(p, rdb.Sum64(0, p))
}

// addBase commits a snapshot.
func addBase(t *testing.T, j *Journal, tl TimelineID, offset int64, at time.Time) Base {
	t.Helper()
	w, err := j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(dumpOf("body")); err != nil {
		t.Fatal(err)
	}
	b, err := w.Commit(context.Background(), BaseInfo{Timeline: tl, Offset: offset, Time: at})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// slowDisk is a disk whose fsyncs can be held up.
type slowDisk struct {
	*vfstest.Mem
	mu   sync.Mutex
	gate chan struct{} // nil: open
}

func (d *slowDisk) fs() vfs.FS {
	return vfstest.WithFaults(d.Mem, func(op vfstest.Op) error {
		d.mu.Lock()
		gate := d.gate
		d.mu.Unlock()
		if gate != nil && op.Kind == vfstest.OpSync {
			<-gate
		}
		return nil
	})
}

func (d *slowDisk) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

func (d *slowDisk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.gate)
	d.gate = nil
}
