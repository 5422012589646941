package replay

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// branchy is a journal whose moments a test sets.
type branchy struct {
	t   *testing.T
	j   *journal.Journal
	now *proxytest.Clock
}

func newBranchy(t *testing.T) *branchy {
	b := &branchy{t: t, now: proxytest.NewClock(time.Unix(1_000_000, 0))}
	j, err := journal.Open(journal.Options{Dir: "j", FS: vfstest.NewMem(), Poll: time.Hour,
		SegmentBytes: 2 << 20, Logger: slog.New(slog.DiscardHandler), Now: b.now.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	b.j = j
	return b
}

func (b *branchy) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// history begins a timeline with a base and writes commands to it, one a second.
func (b *branchy) history(parent journal.TimelineID, at int64, commands int, keys int64) journal.Timeline {
	b.t.Helper()
	fork := int64(0)
	if parent != 0 {
		fork = at
	}
	tl, err := b.j.StartTimeline(b.t.Context(), journal.TimelineStart{
		ReplID: strings.Repeat("f", 39) + string(rune('0'+at%10)), Start: at, Parent: parent, Fork: fork})
	b.must(err)
	w, err := b.j.NewBase()
	b.must(err)
	_, err = w.Write([]byte("REDIS0011\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	b.must(err)
	_, err = w.Commit(b.t.Context(), journal.BaseInfo{Timeline: tl.ID, Offset: at, Time: b.now.Now()})
	b.must(err)
	const set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n"
	for range commands {
		b.now.Add(time.Second)
		b.must(b.j.Append(b.t.Context(), tl.ID, at, []byte(set)))
		at += int64(len(set))
		b.must(b.j.WaitDurable(b.t.Context(), journal.Position{Timeline: tl.ID, Offset: at}))
	}
	b.must(b.j.NoteCounts(tl.ID, journal.Counts{Offset: at, Keys: map[int]int64{0: keys}}))
	proxytest.Poll(b.t, "the counts", func() bool {
		v, err := b.j.View()
		b.must(err)
		cur, _ := v.Current()
		return cur.Counts != nil
	})
	tl.End = at
	b.now.Add(time.Second)
	return tl
}

func (b *branchy) lost(tl journal.Timeline, from int64) journal.Incident {
	b.t.Helper()
	i := journal.Incident{Timeline: tl.ID, From: from, To: tl.End, Verdict: journal.Lost, Time: b.now.Now()}
	b.must(b.j.AddIncident(b.t.Context(), i))
	return i
}

func (b *branchy) locate(sel Selector) (*Point, error) {
	v, err := b.j.View()
	b.must(err)
	return Locate(context.Background(), v, sel, nil)
}

// The end is refused while a branch that was lost has more, and says what each has.
func TestEndOfWhichHistory(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		parent         bool
		commands, keys [2]int
		settle         bool
		refused        bool
	}{
		"longer and fuller":       {commands: [2]int{9, 1}, keys: [2]int{7, 0}, refused: true},
		"fuller":                  {commands: [2]int{2, 9}, keys: [2]int{7, 3}, refused: true},
		"longer":                  {commands: [2]int{9, 2}, keys: [2]int{3, 7}, refused: true},
		"neither":                 {commands: [2]int{2, 9}, keys: [2]int{3, 7}},
		"settled":                 {commands: [2]int{9, 1}, keys: [2]int{7, 0}, settle: true},
		"a tail that is longer":   {parent: true, commands: [2]int{9, 1}, keys: [2]int{3, 3}, refused: true},
		"a tail that is less now": {parent: true, commands: [2]int{3, 9}, keys: [2]int{3, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBranchy(t)
			one := b.history(0, 0, row.commands[0], int64(row.keys[0]))
			at, parent := int64(0), journal.TimelineID(0)
			if row.parent {
				at, parent = one.End/int64(row.commands[0]), one.ID // behind the first command
			}
			i := b.lost(one, at)
			two := b.history(parent, at, row.commands[1], int64(row.keys[1]))
			if row.settle {
				b.must(b.j.CloseIncident(t.Context(), i, "acknowledged"))
			}
			p, err := b.locate(Selector{Kind: AtEnd})
			if !row.refused && (err != nil || p.Timeline.ID != two.ID || p.Offset != two.End) {
				t.Fatalf("%+v, %v", p, err)
			}
			if row.refused && (!errors.Is(err, ErrBranches) || !strings.Contains(err.Error(), "timeline 1, "+
				"which the server left, ended at ") || !strings.Contains(err.Error(), " keys; timeline 2")) {
				t.Fatalf("%+v, %v", p, err)
			}
			for _, sel := range []Selector{{Kind: AtEnd, Current: true}, {Kind: AtEnd, Timeline: 1}} {
				p, err := b.locate(sel)
				if want := map[bool]int64{true: two.End, false: one.End}[sel.Current]; err != nil ||
					p.Offset != want {
					t.Errorf("%+v: %+v, %v", sel, p, err)
				}
			}
		})
	}
}

// A time is a moment of the history that was the present then, and not of its branch.
func TestTimeMeansThePresentThen(t *testing.T) {
	t.Parallel()
	b := newBranchy(t)
	begin := b.now.Now()
	one := b.history(0, 0, 9, 7) // seconds 1 to 9
	size := one.End / 9
	b.lost(one, 3*size)
	b.now.Set(begin.Add(60 * time.Second))
	two := b.history(one.ID, 3*size, 2, 3) // seconds 61, 62
	for _, row := range []struct {
		second   int
		timeline journal.TimelineID
		offset   int64
		note     bool
	}{
		{2, 1, 2 * size, false}, {8, 1, 8 * size, true}, {30, 1, one.End, true},
		{61, 2, two.Start + size, false}, {62, 2, two.End, false},
	} {
		sel := Selector{Kind: AtTime, Time: begin.Add(time.Duration(row.second) * time.Second)}
		p, err := b.locate(sel)
		if err != nil || p.Timeline.ID != row.timeline || p.Offset != row.offset {
			t.Errorf("second %d: %+v, %v", row.second, p, err)
			continue
		}
		if got := strings.Contains(p.Note, "was the present then"); got != row.note {
			t.Errorf("second %d: note %q", row.second, p.Note)
		}
		sel.Current = true
		if p, err = b.locate(sel); row.second < 60 && (err != nil || p.Timeline.ID != two.ID ||
			p.Offset > two.Start) {
			t.Errorf("second %d of the current one: %+v, %v", row.second, p, err)
		}
	}
}
