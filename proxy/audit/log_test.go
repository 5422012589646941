package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/proxy/proxytest"
)

// fakeDisk is a disk in memory.
type fakeDisk struct {
	mu     sync.Mutex
	files  map[string][]byte
	room   int // bytes that it still takes; below zero: any number
	opened int
	// openErr and renameErr, if set, fail these operations.
	openErr, renameErr error
	stuck              chan struct{} // if set, a write waits until it is closed
}

var errFull = errors.New("no space left")

func newFakeDisk() *fakeDisk { return &fakeDisk{files: map[string][]byte{}, room: -1} }

func (d *fakeDisk) open(path string) (file, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.openErr != nil {
		return nil, 0, d.openErr
	}
	d.opened++
	d.files[path] = append(d.files[path], ""...)
	return &fakeFile{d, path}, int64(len(d.files[path])), nil
}

func (d *fakeDisk) rename(oldPath, newPath string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, ok := d.files[oldPath]
	switch {
	case d.renameErr != nil:
		return d.renameErr
	case !ok:
		return fs.ErrNotExist
	}
	d.files[newPath] = text
	delete(d.files, oldPath)
	return nil
}

// verdicts are the verdicts of the whole lines of a file.
func (d *fakeDisk) verdicts(t *testing.T, path string) (out []string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range bytes.Lines(d.files[path]) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil || line[len(line)-1] != '\n' {
			t.Errorf("%s: %q: %v", path, line, err)
		}
		out = append(out, e.Verdict)
	}
	return out
}

type fakeFile struct {
	d    *fakeDisk
	path string
}

func (f *fakeFile) Write(p []byte) (int, error) {
	if f.d.stuck != nil {
		<-f.d.stuck
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := len(p)
	if f.d.room >= 0 {
		n = min(n, f.d.room)
		f.d.room -= n
	}
	f.d.files[f.path] = append(f.d.files[f.path], p[:n]...)
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (f *fakeFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.files[f.path] = f.d.files[f.path][:size]
	return nil
}

func (f *fakeFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.d.files[f.path])), nil
}

func (f *fakeFile) Close() error { return nil }

// onDisk runs a test with a log on a disk in memory, under a fake clock. put puts entries with these
// verdicts and waits until the log is at rest.
func onDisk(t *testing.T, o Options, test func(d *fakeDisk, l *Log, put func(verdicts ...string), told *proxytest.Log)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told proxytest.Log
		d := newFakeDisk()
		l := New(proxytest.Untimed(&told))
		l.disk = d
		f, err := l.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		l.Swap(f)
		defer func() { l.Swap(nil).Stop() }()
		put := func(verdicts ...string) {
			for _, v := range verdicts {
				l.Put(Entry{Verdict: v})
			}
			time.Sleep(2 * gatherTime)
			synctest.Wait()
		}
		test(d, l, put, &told)
	})
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestLogOff(t *testing.T) {
	t.Parallel()
	l := New(slog.New(slog.DiscardHandler))
	f, err := l.Open(Options{})
	if f != nil || err != nil || l.On() || l.Admits() {
		t.Errorf("%v, %v, on %t", f, err, l.On())
	}
	l.Put(Entry{})
	f.Stop()
	expect(t, "counts", l.Counts(), Counts{})
}

// A file that cannot be opened prevents the start, and a reload.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	l, d := New(slog.New(slog.DiscardHandler)), newFakeDisk()
	l.disk, d.openErr = d, fs.ErrPermission
	if f, err := l.Open(Options{File: "a"}); f != nil || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v, %v", f, err)
	}
}

// A line that fails leaves no half, is counted, and is logged once a minute; the file is opened again.
func TestFullDisk(t *testing.T) {
	onDisk(t, Options{File: "a"}, func(d *fakeDisk, l *Log, put func(...string), told *proxytest.Log) {
		put("one")
		d.room = 10
		put("two", "three")
		d.room = 10
		put("four")
		expect(t, "lines", d.verdicts(t, "a"), []string{"one"})
		expect(t, "told", told.Take(), `level=ERROR msg="the audit log cannot be written" file=a error="no space left"`)
		time.Sleep(failurePause)
		d.room = 0
		put("five")
		expect(t, "told a minute later", strings.Count(told.Take(), "cannot be written"), 1)
		d.room = -1
		put("six")
		expect(t, "lines", d.verdicts(t, "a"), []string{"one", "six"})
		expect(t, "opened", d.opened, 4)
		expect(t, "counts", l.Counts(), Counts{Written: 2, Failed: 4})
	})
}

// A failed write to a file that another writer has changed removes none of its lines: the half line
// stays, and the next line is a line of its own.
func TestFullDiskOfTwoWriters(t *testing.T) {
	const others = `{"verdict":"other"}` + "\n"
	for name, row := range map[string]struct {
		change func(text []byte) []byte
		want   int // whole lines
	}{
		"more lines": {func(text []byte) []byte { return append(text, others...) }, 4},
		"emptied":    {func([]byte) []byte { return nil }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			onDisk(t, Options{File: "a"}, func(d *fakeDisk, l *Log, put func(...string), _ *proxytest.Log) {
				put("one")
				d.files["a"] = row.change(d.files["a"])
				d.room = 10
				put("two")
				d.room = -1
				put("three")
				put("four")
				whole := 0
				for line := range bytes.Lines(d.files["a"]) {
					if json.Valid(line) {
						whole++
					}
				}
				if whole != row.want || bytes.Contains(d.files["a"], []byte{0}) || bytes.Contains(d.files["a"], []byte("\n\n")) ||
					!bytes.Contains(d.files["a"], []byte("\n{\"time\":\"0001-01-01T00:00:00Z\",\"verdict\":\"three\"")) {
					t.Errorf("%d whole lines in %q", whole, d.files["a"])
				}
				expect(t, "counts", l.Counts(), Counts{Written: 3, Failed: 1})
			})
		})
	}
}

// The oldest of the files goes, and no line is over the size.
func TestRotates(t *testing.T) {
	one := int64(len((&Entry{Verdict: "v1"}).appendJSON(nil))) + 1
	onDisk(t, Options{File: "a", MaxSize: 2*one + one/2, Keep: 2}, func(d *fakeDisk, _ *Log, put func(...string), _ *proxytest.Log) {
		put("v1", "v2", "v3")
		put("v4", "v5", "v6", "v7", "v8", "v9")
		expect(t, "lines", d.verdicts(t, "a"), []string{"v9"})
		expect(t, "the file before", d.verdicts(t, "a.1"), []string{"v7", "v8"})
		expect(t, "the oldest", d.verdicts(t, "a.2"), []string{"v5", "v6"})
		expect(t, "files", len(d.files), 3)
	})
}

// A file that cannot be renamed grows: lines matter more.
func TestCannotRotate(t *testing.T) {
	onDisk(t, Options{File: "a", MaxSize: 1}, func(d *fakeDisk, l *Log, put func(...string), told *proxytest.Log) {
		d.renameErr = fs.ErrPermission
		put("one", "two")
		put("three")
		expect(t, "lines", d.verdicts(t, "a"), []string{"one", "two", "three"})
		expect(t, "told", told.Count("cannot be written"), 1)
		expect(t, "counts", l.Counts(), Counts{Written: 3})
	})
}

// A disk that is stuck holds up no caller: what does not fit is dropped and counted. Stop writes
// the rest.
func TestStuckDisk(t *testing.T) {
	onDisk(t, Options{File: "a"}, func(d *fakeDisk, l *Log, put func(...string), _ *proxytest.Log) {
		d.stuck = make(chan struct{})
		put("first") // which the writer holds
		put(slices.Repeat([]string{"v"}, maxBatch)...)
		if l.Admits() {
			t.Error("a full batch admits an entry")
		}
		put("over")
		expect(t, "counts", l.Counts(), Counts{Dropped: 2})
		f := l.Swap(nil)
		close(d.stuck)
		f.Stop()
		expect(t, "lines", len(d.verdicts(t, "a")), maxBatch+1)
		f.put(Entry{})
		expect(t, "counts", l.Counts(), Counts{Written: maxBatch + 1, Dropped: 3})
	})
}
