package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
)

// A snapshot is read as it was written, or the reader says that it is not.
func TestOpenBase(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(disk *vfstest.Mem, path string) error
		open  error // of OpenBase
		read  error
		found error // by Verify
	}{
		{"whole", func(*vfstest.Mem, string) error { return nil }, nil, nil, nil},
		{"altered", func(disk *vfstest.Mem, path string) error {
			f, err := disk.OpenReadWrite(path)
			if err == nil {
				_, err = f.WriteAt([]byte("?"), 11)
			}
			return err
		}, nil, ErrBase, ErrBase},
		{"cut short", func(disk *vfstest.Mem, path string) error {
			f, err := disk.OpenReadWrite(path)
			if err == nil {
				err = f.Truncate(12)
			}
			return err
		}, nil, ErrBase, ErrBase},
		{"gone", (*vfstest.Mem).Remove, ErrPruned, nil, ErrBase},
	} {
		t.Run(row.name, func(t *testing.T) {
			disk := vfstest.NewMem()
			j := open(t, testOptions(disk))
			tl := start(t, j, "a", 0)
			b := addBase(t, j, tl.ID, 0, time.Now())
			if err := row.spoil(disk, testDir+"/"+b.File); err != nil {
				t.Fatal(err)
			}
			v, err := j.View()
			if err != nil {
				t.Fatal(err)
			}
			problems, err := v.Verify(t.Context(), nil)
			if err != nil || (len(problems) == 0) != (row.found == nil) ||
				len(problems) > 0 && !errors.Is(problems[0].Err, row.found) {
				t.Errorf("verify: %v %v", problems, err)
			}
			r, err := v.OpenBase(b)
			if !errors.Is(err, row.open) {
				t.Fatalf("open: %v", err)
			}
			if err != nil {
				return
			}
			got, err := io.ReadAll(r)
			if !errors.Is(err, row.read) || row.read == nil && !bytes.Equal(got, dumpOf("body")) {
				t.Errorf("read %q, %v", got, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A base whose file is not what it was leads nowhere after opening, and the one before it does.
func TestMissingBase(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	add(t, j, tl.ID, 0, 100)
	gone := addBase(t, j, tl.ID, 50, time.Now())
	closeJournal(t, j)
	if err := disk.Remove(testDir + "/" + gone.File); err != nil {
		t.Fatal(err)
	}
	j = open(t, testOptions(disk))
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := v.BaseFor(tl.ID, 100); err != nil || b.Offset != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if problems, _ := v.Verify(t.Context(), nil); len(problems) != 1 {
		t.Errorf("verify: %v", problems)
	}
}

// A snapshot that comes in many pieces, larger than what is synced at once, and one given up.
func TestBaseWriter(t *testing.T) {
	disk := newFaultyDisk()
	syncs := 0
	disk.fail(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && strings.Contains(op.Path, basePrefix) {
			syncs++
		}
		return nil
	})
	j := open(t, testOptions(disk.fs()))
	tl := start(t, j, "a", 0)
	body := dumpOf(strings.Repeat("0123456789abcdef", 40<<20/16))
	w, err := j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	for p := body; len(p) > 0; {
		n := min(len(p), 100_001)
		if m, err := w.Write(p[:n]); m != n || err != nil {
			t.Fatal(m, err)
		}
		p = p[n:]
	}
	if w.Size() != int64(len(body)) {
		t.Errorf("size %d, want %d", w.Size(), len(body))
	}
	b, err := w.Commit(t.Context(), BaseInfo{Timeline: tl.ID, Offset: 7, DB: 3})
	if err != nil || b.DB != 3 || b.Size != int64(len(body)) || b.Time.IsZero() {
		t.Fatalf("%+v, %v", b, err)
	}
	if syncs < 3 {
		t.Errorf("%d fsyncs of 40 MB", syncs)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("written after Commit")
	}
	w.Abort() // nothing happens
	v := view(t, disk.Mem)
	wantSound(t, v)

	w, err = j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Commit(t.Context(), BaseInfo{Timeline: tl.ID}); err == nil {
		t.Error("committed after Abort")
	}
	if n := len(view(t, disk.Mem).Bases()); n != 1 {
		t.Errorf("%d bases", n)
	}
}

// Reading a base ends with the context: it may have gigabytes, and somebody waits for the end.
func TestReadingBaseEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	disk := newFaultyDisk()
	j := open(t, testOptions(disk.fs()))
	tl := start(t, j, "a", 0)
	begin := func() *BaseWriter {
		w, err := j.NewBase()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(dumpOf(strings.Repeat("x", 5<<20))); err != nil {
			t.Fatal(err)
		}
		return w
	}
	if _, err := begin().Commit(ctx, BaseInfo{Timeline: tl.ID}); err != nil {
		t.Fatal(err)
	}
	v := view(t, disk.fs())
	unfinished := begin()
	reads := 0
	disk.fail(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead && strings.Contains(op.Path, basePrefix) {
			reads++
			cancel()
		}
		return nil
	})
	problems, err := v.Verify(ctx, nil)
	if !errors.Is(err, context.Canceled) || len(problems) != 0 || reads > 1 {
		t.Errorf("verify: %v, %v after %d reads", problems, err, reads)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	if _, err := unfinished.Commit(ctx, BaseInfo{Timeline: tl.ID}); !errors.Is(err, context.Canceled) ||
		reads > 2 {
		t.Errorf("commit: %v after %d reads", err, reads)
	}
}

// An RDB without a checksum of its own counts; the server was told to leave it out.
func TestRDBWithoutChecksum(t *testing.T) {
	j := open(t, testOptions(vfstest.NewMem()))
	tl := start(t, j, "a", 0)
	w, err := j.NewBase()
	if err != nil {
		t.Fatal(err)
	}
	p := append([]byte("VALKEY080body\xff"), make([]byte, 8)...)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), BaseInfo{Timeline: tl.ID}); err != nil {
		t.Error(err)
	}
}

// What retention removes while Verify reads is no damage. What is gone and still wanted is.
func TestVerifyBesideRetention(t *testing.T) {
	disk := vfstest.NewMem()
	o := testOptions(disk)
	o.Retention = Retention{Age: time.Minute}
	var late atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	j := open(t, o)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	for at := int64(0); at < 60_000; at += 1000 {
		add(t, j, tl.ID, at, at+1000)
	}
	last := addBase(t, j, tl.ID, 60_000, time.Now())
	late.Store(int64(time.Hour))
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, _ := j.View(); len(now.Segments()) == len(v.Segments()) || len(now.Bases()) != 1 {
		t.Fatal("nothing was removed")
	}
	wantSound(t, v)
	if err := disk.Remove(j.path(last.File)); err != nil {
		t.Fatal(err)
	}
	problems, err := v.Verify(t.Context(), nil)
	if err != nil || len(problems) != 1 || problems[0].File != last.File {
		t.Errorf("%v, %v: want the last base", problems, err)
	}
}

// A reader whose segments are removed under it says so.
func TestReaderAfterRetention(t *testing.T) {
	disk := vfstest.NewMem()
	j := open(t, testOptions(disk))
	tl := start(t, j, "a", 0)
	for at := int64(0); at < 60_000; at += 1000 {
		add(t, j, tl.ID, at, at+1000)
	}
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(testDir + "/" + v.Segments()[1].File); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(v, tl.ID, 0)
	if !errors.Is(err, ErrPruned) || len(got) == 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, from := range []int64{-1, 60_001} {
		if _, err := v.Reader(tl.ID, from); !errors.Is(err, ErrRange) {
			t.Errorf("from %d: %v", from, err)
		}
	}
	if _, err := v.Reader(9, 0); !errors.Is(err, ErrTimeline) {
		t.Error(err)
	}
}
