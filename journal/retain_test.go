package journal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// history is a catalog and segments as text:
//
//	tl 1 start 0 end 500 last 5h
//	tl 2 start 300 end 900 parent 1 fork 300 last 0h
//	base 1@0 9h 100        timeline, offset, age, bytes
//	seg 1:0-200 8h 50      ranges, age of the last byte, bytes
//
// The last segment is the live one.
func history(t *testing.T, now time.Time, text string) (*catalog, []Segment) {
	t.Helper()
	c := &catalog{}
	var segs []Segment
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		ago := func(s string) time.Time {
			d, err := time.ParseDuration(s)
			if err != nil {
				t.Fatal(err)
			}
			return now.Add(-d)
		}
		switch f[0] {
		case "tl":
			var tl Timeline
			for i := 2; i+1 < len(f); i += 2 {
				var n int64
				_, _ = fmt.Sscan(f[i+1], &n) // of last it is not the value
				switch f[i] {
				case "start":
					tl.Start = n
				case "end":
					tl.End = n
				case "parent":
					tl.Parent = TimelineID(n)
				case "fork":
					tl.Fork = n
				case "last":
					tl.Last = ago(f[i+1])
				}
			}
			tl.ID = TimelineID(len(c.timelines) + 1)
			c.timelines = append(c.timelines, tl)
		case "base":
			var b Base
			if _, err := fmt.Sscanf(f[1], "%d@%d", &b.Timeline, &b.Offset); err != nil {
				t.Fatal(err)
			}
			b.Time = ago(f[2])
			_, _ = fmt.Sscan(f[3], &b.Size)
			b.File, b.Missing = f[1], len(f) > 4
			c.bases = append(c.bases, b)
		case "seg":
			s := Segment{Seq: uint64(len(segs) + 1), LastTime: ago(f[2])}
			for _, r := range strings.Split(f[1], ",") {
				var g Range
				if _, err := fmt.Sscanf(r, "%d:%d-%d", &g.Timeline, &g.From, &g.To); err != nil {
					t.Fatal(err)
				}
				s.Ranges = append(s.Ranges, g)
			}
			_, _ = fmt.Sscan(f[3], &s.Bytes)
			segs = append(segs, s)
		}
	}
	segs[len(segs)-1].Live = true
	return c, segs
}

const oneTimeline = `
	tl 1 start 0 end 500 last 0h
	base 1@0 10h 100
	base 1@200 6h 100
	base 1@400 2h 100
	seg 1:0-100 9h 50
	seg 1:100-250 5h 50
	seg 1:250-420 1h 50
	seg 1:420-500 0h 50
`

const lostTail = `
	tl 1 start 0 end 500 last 5h
	tl 2 start 300 end 900 parent 1 fork 300 last 0h
	base 1@0 9h 100
	base 2@400 3h 100
	seg 1:0-200 8h 50
	seg 1:200-500 5h 50
	seg 2:300-600 2h 50
	seg 2:600-900 0h 50
`

const leadless = `
	tl 1 start 0 end 500 last 0h
	seg 1:0-100 9h 50
	seg 1:100-500 1h 50
	seg 1:500-500 0h 50
`

// TestRetentionPlan: what goes under which limits. A base goes when a newer one covers the whole
// window, a segment when no base that stays leads into it or into anything before it.
func TestRetentionPlan(t *testing.T) {
	const h = time.Hour
	for _, row := range []struct {
		name    string
		history string
		limits  Retention
		tight   bool
		want    string // bases, then segments
	}{
		{"no limits", oneTimeline, Retention{}, false, ""},
		{"window before everything", oneTimeline, Retention{Age: 20 * h}, false, ""},
		{"window begins under the first base", oneTimeline, Retention{Age: 7 * h}, false, ""},
		{"window begins at the second base", oneTimeline, Retention{Age: 6 * h}, false, "1@0 s1"},
		{"window begins under the second base", oneTimeline, Retention{Age: 5 * h}, false, "1@0 s1"},
		{"window begins under the last base", oneTimeline, Retention{Age: h}, false,
			"1@0 1@200 s1 s2"},
		{"the last base stays", oneTimeline, Retention{Age: 1}, false, "1@0 1@200 s1 s2"},
		{"bytes suffice", oneTimeline, Retention{Bytes: 500}, false, ""},
		{"bytes: one base less suffices", oneTimeline, Retention{Bytes: 400}, false, "1@0 s1"},
		{"bytes: more is wanted than can go", oneTimeline, Retention{Bytes: 1}, false,
			"1@0 1@200 s1 s2"},
		{"bytes within the window of age", oneTimeline, Retention{Age: 20 * h, Bytes: 400}, false,
			"1@0 s1"},
		{"tight", oneTimeline, Retention{Age: 20 * h}, true, "1@0 1@200 s1 s2"},

		{"branch inside the window", lostTail, Retention{Age: 6 * h}, false, ""},
		{"branch outside, its base leads to the current one", lostTail, Retention{Age: 4 * h}, false,
			""},
		{"branch outside, the current one has its own base", lostTail, Retention{Age: 2 * h}, false,
			"1@0 s1 s2"},
		{"tight drops the branch", lostTail, Retention{}, true, "1@0 s1 s2"},

		{"without any base age counts", leadless, Retention{Age: 5 * h}, false, "s1"},
		{"without any base bytes count, the oldest first", leadless, Retention{Bytes: 110}, false, "s1"},
		{"without any base, less than a segment", leadless, Retention{Bytes: 1}, false, "s1 s2"},
		{"without any base, tight", leadless, Retention{}, true, "s1 s2"},
		{"without any base, no limits", leadless, Retention{}, false, ""},
		{"no fresh base comes: the way to the present stays", `
			tl 1 start 0 end 900 last 0h
			base 1@0 10h 100
			base 1@200 6h 100
			seg 1:0-200 9h 50
			seg 1:200-500 5h 5000
			seg 1:500-900 0h 5000`, Retention{Age: h, Bytes: 128}, true, "1@0 s1"},
		{"a missing base is none", `
			tl 1 start 0 end 500 last 0h
			base 1@0 10h 100
			base 1@200 6h 100 missing
			seg 1:0-100 9h 50
			seg 1:100-500 0h 50`, Retention{Age: 5 * h}, true, "1@200"},
		{"a segment behind one that is needed stays", `
			tl 1 start 0 end 100 last 9h
			tl 2 start 0 end 500 last 0h
			base 2@0 9h 100
			base 1@0 9h 100
			seg 2:0-10 9h 50
			seg 1:0-100 9h 50
			seg 2:10-500 0h 50`, Retention{Age: 5 * h}, false, "1@0"},
		{"two bases of one place", `
			tl 1 start 0 end 500 last 0h
			base 1@0 10h 100
			base 1@0 9h 100
			seg 1:0-500 0h 50`, Retention{Bytes: 1}, false, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			c, segs := history(t, now, row.history)
			p := planner{catalog: c, segments: segs, now: now, limits: row.limits, tight: row.tight}
			bases, dropped := p.plan()
			var got []string
			for _, b := range bases {
				got = append(got, b.File)
			}
			for _, s := range dropped {
				got = append(got, fmt.Sprintf("s%d", s.Seq))
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("drops %q, want %q", strings.Join(got, " "), row.want)
			}
		})
	}
}

// Retention on a real journal: what is left is sound, opens, and leads everywhere it should, also
// after a crash at any step of it.
func TestRetain(t *testing.T) {
	c := &crashSite{mem: vfstest.NewMem(), seed: 1, check: nothing}
	k := proxytest.NewClock(time.Unix(1e9, 0))
	o := testOptions(vfstest.WithFaults(c.mem, c.before))
	o.Now = k.Now
	o.Retention.Age = 5 * time.Hour
	j := open(t, o)
	tl := start(t, j, "a", 0)
	for at := int64(0); at < 100_000; at += 10_000 {
		addBase(t, j, tl.ID, at, k.Now())
		for n := int64(0); n < 10_000; n += 1000 {
			add(t, j, tl.ID, at+n, at+n+1000)
		}
		k.Add(time.Hour) // the window is [k-5h, k]
	}
	c.set(nil)
	c.setCheck(func(clone *vfstest.Mem, _ promise) error { return leadsEverywhere(clone, tl.ID) })
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.done(t); n < 10 {
		t.Errorf("%d points only", n)
	}
	c.setCheck(nothing)
	if err := j.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeJournal(t, j)
	v := view(t, c.mem)
	if bases := v.Bases(); len(bases) != 5 || bases[0].Offset != 50_000 {
		t.Errorf("bases %+v", bases)
	}
	if first := v.Segments()[0]; first.Seq < 3 {
		t.Errorf("the first segment is still %d", first.Seq)
	}
	wantContent(t, v, tl.ID, 50_000, 100_000)
	wantSound(t, v)
	names, err := c.mem.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(names); n > 5+len(v.Segments())+1 {
		t.Errorf("%d files: %v", n, names)
	}
}

func nothing(*vfstest.Mem, promise) error { return nil }

func (c *crashSite) setCheck(check func(*vfstest.Mem, promise) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check, c.points = check, 0
}

// leadsEverywhere opens what a crash left and goes to the ends of TestRetain's window.
func leadsEverywhere(clone *vfstest.Mem, tl TimelineID) error {
	j, err := Open(testOptions(clone))
	if err != nil {
		return err
	}
	v, err := j.View()
	if err != nil {
		return err
	}
	if b, err := v.BaseFor(tl, 100_000); err != nil || b.Offset != 90_000 {
		return fmt.Errorf("to the end: %+v %w", b, err)
	}
	if _, err := v.BaseFor(tl, 50_000); err != nil {
		return fmt.Errorf("the window begins at 50000: %w", err)
	}
	got, err := readAll(v, tl, 50_000)
	if err != nil || string(got) != string(contentOf(50_000, 100_000)) {
		return fmt.Errorf("%d bytes: %w", len(got), err)
	}
	for _, b := range v.Bases() {
		if b.Missing {
			return fmt.Errorf("base %s is missing", b.File)
		}
	}
	return j.Close()
}

// A timeline of which nothing is left is forgotten with its gaps and incidents; one that others
// continue only while something leads through it.
func TestForget(t *testing.T) {
	now := time.Unix(1e9, 0)
	c, segs := history(t, now, `
		tl 1 start 0 end 100 last 9h
		tl 2 start 0 end 100 last 8h
		tl 3 start 100 end 100 parent 2 fork 100 last 8h
		tl 4 start 100 end 200 parent 3 fork 100 last 5h
		tl 5 start 0 end 50 last 5h
		tl 6 start 50 end 60 parent 5 fork 50 last 5h
		tl 7 start 60 end 60 parent 6 fork 60 last 0h
		base 2@0 9h 100
		seg 4:100-200 9h 50`)
	c.gaps = []Gap{{Timeline: 1}, {Timeline: 2}}
	c.incidents = []Incident{{Timeline: 1}, {Timeline: 3}}
	if n := c.forget(segs); n != 3 {
		t.Errorf("%d forgotten, want 3: %+v", n, c.timelines)
	}
	for id, want := range map[TimelineID]bool{1: false, 2: true, 3: true, 4: true, 5: false, 6: false,
		7: true} {
		if got := c.find(id) != nil; got != want {
			t.Errorf("timeline %d is kept: %v, want %v", id, got, want)
		}
	}
	if len(c.gaps) != 1 || len(c.incidents) != 1 {
		t.Errorf("%+v", c)
	}
}
