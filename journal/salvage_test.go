package journal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

const (
	salvageEnd   = 9000
	salvageStep  = 250
	salvageBases = 3000
)

// leaveSmall makes a journal of several small segments with bases on the way. It is closed, or the
// machine stops in the middle.
func leaveSmall(t *testing.T, closed bool) site {
	t.Helper()
	mem := vfstest.NewMem()
	o := testOptions(mem)
	o.SegmentBytes = 4 << 10
	j := open(t, o)
	tl := start(t, j, "a", 0)
	for at := int64(0); at < salvageEnd; at += salvageStep {
		if at%salvageBases == 0 {
			addBase(t, j, tl.ID, at, time.Unix(at, 0))
		}
		add(t, j, tl.ID, at, at+salvageStep)
	}
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	all := v.Segments()
	disk := mem.CrashClone(nil)
	if closed {
		closeJournal(t, j)
		disk = mem
	}
	if len(all) < 4 {
		t.Fatalf("%d segments", len(all))
	}
	return site{disk: disk, last: all[len(all)-1], all: all}
}

// lostIn is how many bytes of the stream a view does not give: it is read on from each step that ends a read.
// The bytes that it gives must be right.
func lostIn(t *testing.T, v *View, what string) int64 {
	t.Helper()
	lost := int64(0)
	for at := int64(0); at < salvageEnd; {
		got, _ := readAll(v, 1, at)
		if !bytes.Equal(got, contentOf(at, at+int64(len(got)))) {
			t.Fatalf("%s: wrong bytes behind offset %d", what, at)
		}
		if at += int64(len(got)) / salvageStep * salvageStep; at < salvageEnd && len(got) < salvageStep {
			lost, at = lost+salvageStep, at+salvageStep
		}
	}
	return lost
}

// wantSides checks that every base leads as far as the stream can be read, and that damage is named
// where it cannot.
func wantSides(t *testing.T, v *View, what string) {
	t.Helper()
	if n := len(v.Bases()); n != 3 {
		t.Fatalf("%s: %d bases, want 3", what, n)
	}
	for _, b := range v.Bases() {
		got, err := readAll(v, 1, b.Offset)
		if !bytes.Equal(got, contentOf(b.Offset, b.Offset+int64(len(got)))) {
			t.Fatalf("%s: wrong bytes behind base %d", what, b.Offset)
		}
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: behind base %d: %v", what, b.Offset, err)
		}
		if err != nil {
			continue
		}
		if _, err := v.BaseFor(1, b.Offset+int64(len(got))); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// TestSalvageEveryByte flips bytes everywhere in each segment. Two frames at most are lost by it, and
// nothing that is given is wrong.
func TestSalvageEveryByte(t *testing.T) {
	for _, closed := range []bool{true, false} {
		s := leaveSmall(t, closed)
		if n := lostIn(t, view(t, s.disk), "whole"); n != 0 {
			t.Fatalf("%d bytes of a whole journal are lost", n)
		}
		most := int64(0)
		for i, seg := range s.all {
			if !closed && i < len(s.all)-1 {
				continue // they are the same
			}
			for at := int64(i % 13); at < seg.Bytes; at += 13 {
				what := fmt.Sprintf("%s byte %d", seg.File, at)
				s.edit(t, seg.File, func(f vfs.File) { flip(t, f, at) })
				v, err := Salvage(s.disk, testDir)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				lost := lostIn(t, v, what)
				wantSides(t, v, what)
				most = max(most, lost)
				if problems, err := v.Verify(t.Context(), nil); err != nil || len(problems) == 0 &&
					!(i == len(s.all)-1 && !closed) { // the last batch may be torn
					t.Fatalf("%s: verify finds %v, %v", what, problems, err)
				}
				s.edit(t, seg.File, func(f vfs.File) { flip(t, f, at) })
			}
		}
		if most > 2*salvageStep {
			t.Errorf("a flipped byte costs up to %d bytes of stream, want %d", most, 2*salvageStep)
		}
	}
}

// TestSalvageFiles spoils whole files.
func TestSalvageFiles(t *testing.T) {
	s := leaveSmall(t, true)
	n := len(s.all)
	size := func(i int) int64 {
		total := int64(0)
		for _, r := range s.all[i].Ranges {
			total += r.To - r.From
		}
		return total
	}
	type change struct {
		name string
		make func(s site, i int)
		last bool // also for the last segment
		cost func(i int) int64
	}
	whole := func(i int) int64 { return size(i) }
	for _, c := range []change{
		{"missing", func(s site, i int) { check(t, s.disk.Remove(testDir+"/"+s.all[i].File)) }, false, whole},
		{"empty", func(s site, i int) {
			s.edit(t, s.all[i].File, func(f vfs.File) { check(t, f.Truncate(0)) })
		}, true, whole},
		{"half", func(s site, i int) {
			s.edit(t, s.all[i].File, func(f vfs.File) { check(t, f.Truncate(s.all[i].Bytes/2)) })
		}, false, whole},
		{"of another journal", func(s site, i int) {
			other := leaveSmall(t, true)
			b := fileOf(t, other.disk, s.all[i].File)
			s.edit(t, s.all[i].File, func(f vfs.File) {
				check(t, f.Truncate(0))
				_, err := f.WriteAt(b, 0)
				check(t, err)
			})
		}, true, whole},
		{"zeros in the middle", func(s site, i int) {
			s.edit(t, s.all[i].File, func(f vfs.File) {
				_, err := f.WriteAt(make([]byte, 512), s.all[i].Bytes/2&^7)
				check(t, err)
			})
		}, true, func(int) int64 { return 4 * salvageStep }},
	} {
		for i := range n {
			if i == n-1 && !c.last || i == 0 && c.name == "missing" {
				continue // as if retention had removed it, or as if it had never been
			}
			t.Run(fmt.Sprintf("%s %d", c.name, i), func(t *testing.T) {
				s := leaveSmall(t, true)
				c.make(s, i)
				before := contents(t, s.disk)
				v, err := Salvage(s.disk, testDir)
				check(t, err)
				if len(v.Damages()) == 0 && (c.name != "zeros in the middle" || i == n-1) {
					t.Error("no damage is named")
				}
				if lost := lostIn(t, v, c.name); lost > c.cost(i) {
					t.Errorf("%d bytes are lost, want %d at most: %v", lost, c.cost(i), v.Damages())
				}
				if !slices.ContainsFunc(v.Timelines(), func(t Timeline) bool { return t.ID == 1 }) {
					t.Error("the timeline is lost")
				}
				if problems, err := v.Verify(t.Context(), nil); err != nil || len(problems) == 0 {
					t.Errorf("verify: %v, %v", problems, err)
				}
				if contents(t, s.disk) != before {
					t.Error("files were changed")
				}
			})
		}
	}
}

// What was said of an incident last counts in a damaged folder, too.
func TestSalvageClosedIncident(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem)
	o.SegmentBytes = 4 << 10
	j := open(t, o)
	tl := start(t, j, "a", 0)
	add(t, j, tl.ID, 0, 9000)
	check(t, j.AddIncident(t.Context(), Incident{Timeline: tl.ID, From: 50, To: 100, Verdict: Lost,
		Hold: true, Time: time.Unix(5, 0)}))
	add(t, j, tl.ID, 9000, 18_000)
	check(t, j.CloseIncident(t.Context(), j.Incidents()[0], "acknowledged"))
	add(t, j, tl.ID, 18_000, 27_000)
	v, err := j.View()
	check(t, err)
	closeJournal(t, j)
	all := v.Segments()
	for i := range all {
		s := site{disk: mem.CrashClone(nil), all: all}
		s.edit(t, all[i].File, func(f vfs.File) {
			_, err := f.WriteAt([]byte{0xff}, all[i].Bytes/2)
			check(t, err)
		})
		v, err := Salvage(s.disk, testDir)
		check(t, err)
		if in := v.Incidents(); len(in) != 1 || in[0].Open() || in[0].How != "acknowledged" {
			t.Errorf("damage in %s: %+v", all[i].File, in)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fileOf(t *testing.T, disk *vfstest.Mem, name string) []byte {
	t.Helper()
	f, err := disk.Open(testDir + "/" + name)
	check(t, err)
	size, err := f.Size()
	check(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	check(t, err)
	return b
}
