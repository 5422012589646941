package journal

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

// countingFS counts the bytes that are read of segments.
type countingFS struct {
	vfs.FS
	read int64
}

func (c *countingFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	if err == nil && strings.HasSuffix(name, segmentSuffix) {
		f = &countingFile{f, c}
	}
	return f, err
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.fs.read += int64(n)
	return n, err
}

// TestAgain follows a journal that is written, through rotations, and has what a whole look has, each
// time; it reads what came, and no more.
func TestAgain(t *testing.T) {
	mem := vfstest.NewMem()
	disk := &countingFS{FS: mem} // the follower's
	j, err := Open(Options{Dir: "j", FS: mem, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	ctx := context.Background()
	tl, err := j.StartTimeline(ctx, TimelineStart{ReplID: strings.Repeat("a", 40), Why: "test"})
	if err != nil {
		t.Fatal(err)
	}
	follower, err := OpenView(disk, "j")
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.Repeat([]byte("x"), 25_000)
	quick := 0
	for i := range 48 {
		end := tl.Start + int64(i*len(part))
		if err := j.Append(ctx, tl.ID, end, part); err != nil {
			t.Fatal(err)
		}
		if err := j.WaitDurable(ctx, Position{tl.ID, end + int64(len(part))}); err != nil {
			t.Fatal(err)
		}
		if i%16 == 15 {
			if err := j.AddGap(ctx, Gap{Timeline: tl.ID, From: end + int64(len(part)), To: end + int64(len(part)) + 1}); err != nil {
				t.Fatal(err)
			}
			tl.Start++
		}
		disk.read = 0
		if follower, err = follower.Again(); err != nil {
			t.Fatal(err)
		}
		if disk.read < 100_000 {
			quick++
		}
		whole, err := OpenView(mem, "j")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := follower.Timelines(), whole.Timelines(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%d: %+v, want %+v", i, got, want)
		}
		if got, want := follower.Segments(), whole.Segments(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%d: %+v, want %+v", i, got, want)
		}
		if got, want := follower.Gaps(), whole.Gaps(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%d: %+v, want %+v", i, got, want)
		}
	}
	if quick < 42 {
		t.Errorf("only %d of 48 looks were short", quick)
	}
	rd, err := follower.Reader(tl.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := rd.Next(); err != nil || len(c.Data) == 0 {
		t.Errorf("%v", err)
	}
	if err := rd.Close(); err != nil {
		t.Error(err)
	}
}
