package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

// site is a journal as it was left, for a test to spoil: three batches of 100 bytes that were
// promised, the last of them by a fourth, and the files' places.
type site struct {
	disk *vfstest.Mem
	last Segment // that was being written
	all  []Segment
}

// leave makes a journal with several segments and stops the machine in the middle.
func leave(t *testing.T) site {
	t.Helper()
	mem := vfstest.NewMem()
	j := open(t, testOptions(mem))
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	for at := int64(0); at < 40_000; at += 500 {
		add(t, j, tl.ID, at, at+500)
	}
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	all := v.Segments()
	return site{disk: mem.CrashClone(nil), last: all[len(all)-1], all: all}
}

func (s site) edit(t *testing.T, file string, change func(f vfs.File)) {
	t.Helper()
	f, err := s.disk.OpenReadWrite(testDir + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	change(f)
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, f vfs.File, at int64) {
	t.Helper()
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// commits gives where the Commit frames of a segment end.
func (s site) commits(t *testing.T, file string) []int64 {
	t.Helper()
	f, err := s.disk.Open(testDir + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := segment.NewReader(f, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	for {
		frame, _, err := r.Next()
		if err != nil {
			return ends
		}
		if at, _ := r.Position(); frame.Type == segment.Commit {
			ends = append(ends, at)
		}
	}
}

const (
	clean   = "clean"
	torn    = "torn"
	damaged = "damaged"
)

// recoveries are the ways to damage a folder.
var recoveries = []struct {
	name    string
	corrupt func(t *testing.T, s site)
	want    string
	lost    int64 // bytes of stream
}{
	{"as it was left", func(*testing.T, site) {}, clean, 0},
	{"garbage behind the end", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { f.WriteAt([]byte("garbage"), s.last.Bytes) })
	}, torn, 0},
	{"garbage far behind the end", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { f.WriteAt([]byte("garbage"), s.last.Bytes+999) })
	}, torn, 0},
	{"one byte behind the end of the file", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) {
			f.Truncate(s.last.Bytes)
			f.WriteAt([]byte{1}, s.last.Bytes)
		})
	}, torn, 0},
	{"the zeros are not there", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { f.Truncate(s.last.Bytes) })
	}, clean, 0},
	{"the last batch is cut short", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { f.Truncate(s.last.Bytes - 3) })
	}, torn, 500},
	{"the last batch lacks its commit", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) {
			f.WriteAt(make([]byte, 56), s.last.Bytes-56)
		})
	}, torn, 500},
	{"a byte of the last batch differs", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { flip(t, f, s.last.Bytes-100) })
	}, torn, 500},
	{"the last batch never came", func(t *testing.T, s site) {
		ends := s.commits(t, s.last.File)
		s.edit(t, s.last.File, func(f vfs.File) {
			from := ends[len(ends)-2]
			f.WriteAt(make([]byte, s.last.Bytes-from), from)
		})
	}, clean, 500},
	{"a byte of the batch before differs", func(t *testing.T, s site) {
		ends := s.commits(t, s.last.File)
		s.edit(t, s.last.File, func(f vfs.File) { flip(t, f, ends[len(ends)-2]-100) })
	}, damaged, 0},
	{"the batch before is zeros", func(t *testing.T, s site) {
		ends := s.commits(t, s.last.File)
		n := len(ends)
		s.edit(t, s.last.File, func(f vfs.File) {
			f.WriteAt(make([]byte, ends[n-2]-ends[n-3]), ends[n-3])
		})
	}, damaged, 0},
	{"a commit in the middle differs", func(t *testing.T, s site) {
		ends := s.commits(t, s.last.File)
		s.edit(t, s.last.File, func(f vfs.File) { flip(t, f, ends[1]-5) })
	}, damaged, 0},
	{"the header of the last segment differs", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { flip(t, f, 17) })
	}, damaged, 0},
	{"the last segment is empty", func(t *testing.T, s site) {
		s.edit(t, s.last.File, func(f vfs.File) { f.Truncate(0) })
	}, damaged, 0},
	{"a sealed segment ends early", func(t *testing.T, s site) {
		s.edit(t, s.all[0].File, func(f vfs.File) { f.Truncate(s.all[0].Bytes - 8) })
	}, damaged, 0},
	{"the seal of a segment differs", func(t *testing.T, s site) {
		s.edit(t, s.all[0].File, func(f vfs.File) { flip(t, f, s.all[0].Bytes-10) })
	}, damaged, 0},
	{"a segment in the middle is missing", func(t *testing.T, s site) {
		if err := s.disk.Remove(testDir + "/" + s.all[1].File); err != nil {
			t.Fatal(err)
		}
	}, damaged, 0},
	{"two segments are exchanged", func(t *testing.T, s site) {
		a, b := testDir+"/"+s.all[0].File, testDir+"/"+s.all[1].File
		for _, move := range [][2]string{{a, "x"}, {b, a}, {"x", b}} {
			if err := s.disk.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
		}
	}, damaged, 0},
	{"a segment of another journal", func(t *testing.T, s site) {
		other := leave(t)
		f, err := other.disk.Open(testDir + "/" + other.all[1].File)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, other.all[1].Bytes)
		if _, err := f.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		s.edit(t, s.all[1].File, func(f vfs.File) { f.WriteAt(data, 0) })
	}, damaged, 0},
}

// TestRecovery damages a folder in one way per row. A torn batch costs itself and is kept
// aside; damage below a promise stops everything and changes nothing.
func TestRecovery(t *testing.T) {
	for _, row := range recoveries {
		t.Run(row.name, func(t *testing.T) {
			s := leave(t)
			row.corrupt(t, s)
			if row.want == damaged {
				wantDamaged(t, s)
				return
			}
			wantRecovered(t, s, row.want == torn, 40_000-row.lost)
		})
	}
}

func wantDamaged(t *testing.T, s site) {
	t.Helper()
	before := contents(t, s.disk)
	_, err := Open(testOptions(s.disk))
	var damage *DamageError
	if !errors.As(err, &damage) || !strings.HasSuffix(damage.Segment, segmentSuffix) {
		t.Fatalf("open: %v", err)
	}
	if _, err := OpenView(s.disk, testDir); !errors.Is(err, ErrDamaged) {
		t.Errorf("view: %v", err)
	}
	if after := contents(t, s.disk); after != before {
		t.Errorf("files were changed:\n%s\nwere\n%s", after, before)
	}
	// The lock is free again: a second attempt says the same.
	if _, err := Open(testOptions(s.disk)); !errors.Is(err, ErrDamaged) {
		t.Errorf("second open: %v", err)
	}
}

// contents describes all files, for comparison.
func contents(t *testing.T, disk *vfstest.Mem) string {
	t.Helper()
	names, err := disk.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range names {
		f, err := disk.Open(testDir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		data := make([]byte, size)
		if size > 0 {
			if _, err := f.ReadAt(data, 0); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, fmt.Sprintf("%s %d %x", name, size, sha256.Sum256(data)))
	}
	return strings.Join(all, "\n")
}

func wantRecovered(t *testing.T, s site, broken bool, end int64) {
	t.Helper()
	wantContent(t, view(t, s.disk), 1, 0, end) // the same without changing anything
	j := open(t, testOptions(s.disk))
	if cur, _ := j.Current(); cur.End != end {
		t.Fatalf("end %d, want %d", cur.End, end)
	}
	names, err := s.disk.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.ContainsFunc(names, func(n string) bool {
		return strings.HasSuffix(n, brokenSuffix)
	})
	if kept != broken {
		t.Errorf("a copy of what was cut off: %v, want %v: %v", kept, broken, names)
	}
	add(t, j, 1, end, 50_000)
	closeJournal(t, j)
	v := view(t, s.disk)
	wantContent(t, v, 1, 0, 50_000)
	wantSound(t, v)
	closeJournal(t, open(t, testOptions(s.disk)))
}

// What README.md says under "When it is damaged": each side of the damage can be used alone.
func TestBothSidesOfDamage(t *testing.T) {
	build := func() (*vfstest.Mem, []Segment) {
		disk := vfstest.NewMem()
		j := open(t, testOptions(disk))
		tl := start(t, j, "a", 0)
		addBase(t, j, tl.ID, 0, time.Now())
		for at := int64(0); at < 60_000; at += 500 {
			if at == 50_000 {
				addBase(t, j, tl.ID, at, time.Now())
			}
			add(t, j, tl.ID, at, at+500)
		}
		closeJournal(t, j)
		all := view(t, disk).Segments()
		if n := len(all); n < 4 || all[1].Ranges[0].To > 40_000 || all[n-2].Ranges == nil {
			t.Fatalf("%+v", all)
		}
		return disk, all
	}
	leads := func(v *View, offset, base int64) {
		t.Helper()
		if b, err := v.BaseFor(1, offset); err != nil || b.Offset != base {
			t.Errorf("offset %d: base at %d (%v), want %d", offset, b.Offset, err, base)
		}
	}
	remove := func(disk *vfstest.Mem, segments []Segment) *View {
		t.Helper()
		for _, s := range segments {
			if err := disk.Remove(testDir + "/" + s.File); err != nil {
				t.Fatal(err)
			}
		}
		v := view(t, disk)
		wantSound(t, v)
		return v
	}

	disk, all := build()
	site{disk: disk}.edit(t, all[1].File, func(f vfs.File) { flip(t, f, 5000) })
	v := view(t, disk) // within a sealed segment: nothing has to be moved
	if got, err := readAll(v, 1, 0); !errors.Is(err, ErrDamaged) ||
		int64(len(got)) < all[0].Ranges[0].To {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	leads(v, 60_000, 50_000)
	wantContent(t, v, 1, 50_000, 60_000)

	disk, all = build()
	end := all[1].Ranges[0].From
	v = remove(disk, all[1:]) // what comes before
	leads(v, end, 0)
	wantContent(t, v, 1, 0, end)

	disk, all = build()
	v = remove(disk, all[:2]) // what comes behind, from the next base on
	leads(v, 60_000, 50_000)
	wantContent(t, v, 1, 50_000, 60_000)
	if _, err := v.BaseFor(1, 40_000); !errors.Is(err, ErrNoBase) {
		t.Errorf("before the next base: %v", err)
	}
}

// Every byte of every file counts: any change of one is noticed by Verify, wherever it stands.
func TestVerifyNoticesEveryByte(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem)
	o.SegmentBytes = 2 << 10
	j := open(t, o)
	tl := start(t, j, "a", 0)
	addBase(t, j, tl.ID, 0, time.Now())
	for at := int64(0); at < 2600; at += 331 {
		add(t, j, tl.ID, at, at+331)
	}
	closeJournal(t, j)
	v := view(t, mem)
	wantSound(t, v)
	segments := v.Segments()
	checked := 0
	for _, s := range append(segments, Segment{File: v.Bases()[0].File, Bytes: v.Bases()[0].Size}) {
		if s.Live {
			continue
		}
		checked++
		f, err := mem.OpenReadWrite(testDir + "/" + s.File)
		if err != nil {
			t.Fatal(err)
		}
		for at := range s.Bytes {
			flip(t, f, at)
			c := verifier{view: v, ctx: t.Context(), skip: func(file string) bool { return file != s.File }} // the others are sound
			problems, err := c.run()
			if err != nil || len(problems) == 0 {
				t.Fatalf("%s: byte %d of %d: not noticed, %v", s.File, at, s.Bytes, err)
			}
			flip(t, f, at)
		}
	}
	if checked < 3 {
		t.Errorf("%d files checked", checked)
	}
	wantSound(t, v)
}

// What a Seal says is what the frames say: a journal whose seals are unreadable is read whole.
func TestSegmentOverview(t *testing.T) {
	s := leave(t)
	v := view(t, s.disk)
	for i, seg := range v.Segments() {
		want := s.all[i]
		if !slices.Equal(seg.Ranges, want.Ranges) || !seg.FirstTime.Equal(want.FirstTime) ||
			!seg.LastTime.Equal(want.LastTime) || seg.Bytes != want.Bytes ||
			seg.Sealed != want.Sealed || seg.Live != want.Live {
			t.Errorf("segment %d: %+v\nwhile it was open: %+v", i, seg, want)
		}
	}
}

// A folder of a newer version is refused, and neither cut nor called damaged, wherever the frame stands
// that this one does not know, and also where nothing promises it.
func TestNewerVersion(t *testing.T) {
	for _, behind := range []bool{true, false} {
		mem := vfstest.NewMem()
		j := open(t, testOptions(mem))
		tl := start(t, j, "a", 0)
		add(t, j, tl.ID, 0, 1000)
		j.mu.Lock()
		err := j.addLocked(segment.Frame{Type: 99, Timeline: uint32(tl.ID)}, []byte("{}"))
		n := j.appended
		if err == nil {
			err = j.writtenLocked(t.Context(), n)
		}
		j.mu.Unlock()
		check(t, err)
		if behind {
			add(t, j, tl.ID, 1000, 2000)
		}
		disk := mem.CrashClone(nil)
		closeJournal(t, j)
		before := contents(t, disk)
		for name, try := range map[string]func() error{
			"open":    func() error { _, err := Open(testOptions(disk)); return err },
			"view":    func() error { _, err := OpenView(disk, testDir); return err },
			"salvage": func() error { _, err := Salvage(disk, testDir); return err },
		} {
			err := try()
			if !errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if contents(t, disk) != before {
			t.Error("files were changed")
		}
	}
}
