package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
	"holdfast/proxy/proxytest"
)

// written is commands as a primary sends them.
func written(commands ...string) []byte {
	var b strings.Builder
	for _, c := range commands {
		words := strings.Fields(c)
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	return []byte(b.String())
}

// scanned gives the events of a folder as if nothing had been recorded.
func scanned(v *View) ([]event.Event, error) {
	bare := View{folder: v.folder}
	bare.catalog = v.catalog.clone()
	bare.catalog.events, bare.catalog.watch = nil, nil
	return bare.Events(context.Background(), nil)
}

// plain is events as text, without what depends on when a count came.
func plain(list []event.Event) string {
	var out []string
	for _, e := range list {
		e.Before, e.After = event.Counts{}, event.Counts{}
		e.First, e.Last = e.First.UTC(), e.Last.UTC()
		text, err := json.Marshal(e)
		if err != nil {
			return err.Error()
		}
		out = append(out, string(text))
	}
	return strings.Join(out, "\n")
}

// sameEvents compares what a folder says with what reading it gives.
func sameEvents(v *View) error {
	got, err := v.Events(context.Background(), nil)
	if err != nil {
		return err
	}
	want, err := scanned(v)
	if err != nil {
		return err
	}
	if plain(got) != plain(want) {
		return fmt.Errorf("events:\n%s\nreading all gives:\n%s", plain(got), plain(want))
	}
	return nil
}

// settled waits until the watch has seen everything and what it found is durable.
func settled(t *testing.T, j *Journal) {
	t.Helper()
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	got, err := scanned(v)
	if err != nil {
		t.Fatal(err)
	}
	want := plain(got)
	deadline := time.Now().Add(proxytest.PollTimeout)
	for !j.Watching() || plain(j.Events()) != want {
		if time.Now().After(deadline) {
			t.Fatalf("watching %v, events:\n%s\nreading all gives:\n%s", j.Watching(), plain(j.Events()), want)
		}
		time.Sleep(time.Millisecond)
	}
}

// destruction appends a random stream with flushes to a timeline, in pieces of any size, and gives
// its end.
func destruction(t *testing.T, j *Journal, r *rand.Rand, clock *proxytest.Clock, tl TimelineID, at int64,
	steps int) int64 {
	t.Helper()
	for range steps {
		var p []byte
		switch r.IntN(8) {
		case 0:
			p = written("FLUSHALL")
		case 1:
			p = written("MULTI", "SELECT 2", "SET a 1", "FLUSHDB", "EXEC", "SELECT 0")
		case 2:
			clock.Add(time.Duration(r.IntN(9)) * time.Second)
			continue
		case 3:
			p = written("SWAPDB 0 1", "DEL a b c")
		default:
			p = written("SET a "+strings.Repeat("x", r.IntN(400)), "INCR b")
		}
		for len(p) > 0 {
			n := 1 + r.IntN(len(p))
			if err := j.Append(t.Context(), tl, at, p[:n]); err != nil {
				t.Fatal(err)
			}
			if r.IntN(3) == 0 {
				if err := j.WaitDurable(t.Context(), Position{tl, at + int64(n)}); err != nil {
					t.Fatal(err)
				}
			}
			at, p = at+int64(n), p[n:]
		}
	}
	if err := j.WaitDurable(t.Context(), Position{tl, at}); err != nil {
		t.Fatal(err)
	}
	return at
}

// Events that are found while the stream comes in are those that reading the folder gives, over
// many segments, histories, gaps and restarts.
func TestEventsLiveAreEventsRead(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 3))
		mem, clock := vfstest.NewMem(), proxytest.NewClock(time.Unix(1_000_000, 0))
		o := testOptions(mem)
		o.SegmentBytes, o.Now = 16<<10, clock.Now
		at, last := int64(1000), TimelineID(0)
		for round := range 4 {
			j := open(t, o)
			if round%2 == 0 {
				s := TimelineStart{ReplID: fmt.Sprint(round), Start: at}
				if round == 2 { // the same stream, under another name
					s.Parent, s.Fork = last, at
				}
				tl, err := j.StartTimeline(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				last = tl.ID
			}
			at = destruction(t, j, r, clock, last, at, 60)
			if err := j.AddGap(t.Context(), Gap{Timeline: last, From: at, To: at + 50}); err != nil {
				t.Fatal(err)
			}
			at = destruction(t, j, r, clock, last, at+50, 60)
			settled(t, j)
			if len(j.Events()) == 0 {
				t.Fatalf("seed %d: no events", seed)
			}
			closeJournal(t, j)
			v := view(t, mem)
			if err := sameEvents(v); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		v := view(t, mem)
		wantSound(t, v) // the segments of all rounds
		if n := len(v.Segments()); n < 10 {
			t.Errorf("seed %d: %d segments", seed, n)
		}
	}
}

// The events of a folder without records of them are searched for, and reported, when it is opened.
func TestEventsOfAnOldFolder(t *testing.T) {
	mem, clock := vfstest.NewMem(), proxytest.NewClock(time.Unix(1_000_000, 0))
	o := testOptions(mem)
	o.SegmentBytes, o.Now = 6<<10, clock.Now
	j := open(t, o)
	tl := start(t, j, "a", 0)
	at := destruction(t, j, rand.New(rand.NewPCG(1, 1)), clock, tl.ID, 0, 200)
	settled(t, j)
	want := plain(j.Events())
	j.watch.mu.Lock() // as a journal without events would have gone on
	j.mu.Lock()
	j.catalog.events, j.catalog.watch, j.watch.w = nil, nil, nil
	j.mu.Unlock()
	j.watch.mu.Unlock()
	if err := j.rotateForTest(); err != nil {
		t.Fatal(err)
	}
	v, err := j.View()
	if err != nil {
		t.Fatal(err)
	}
	if v.catalog.watch != nil || len(v.RecordedEvents()) != 0 {
		t.Fatal("something is recorded")
	}
	var told sync.Map
	o.OnEvent = func(e event.Event) { told.Store(e.N, true) }
	clone := mem.Clone()
	o.FS = clone
	again := open(t, o)
	settled(t, again)
	if got := plain(again.Events()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, e := range again.Events() {
		if _, ok := told.Load(e.N); !ok {
			t.Errorf("event %d was not told of", e.N)
		}
	}
	destruction(t, again, rand.New(rand.NewPCG(2, 2)), clock, tl.ID, at, 50)
	settled(t, again)
}

// rotateForTest ends the segment. The writer must be idle.
func (j *Journal) rotateForTest() error { return j.rotate() }

// TestCrashAnywhereKeepsEvents stops the machine before each write, sync and change of a name while
// events are found and recorded: what is left names the events that its bytes have, under the same
// numbers, before and after the journal is opened again.
func TestCrashAnywhereKeepsEvents(t *testing.T) {
	clock := proxytest.NewClock(time.Unix(1_000_000, 0))
	c := &crashSite{mem: vfstest.NewMem(), seed: 5}
	options := func(disk vfs.FS) Options {
		o := testOptions(disk)
		o.SegmentBytes, o.Now = 6<<10, clock.Now
		return o
	}
	named := map[int]int64{} // where the events begin, by number, as they were told of
	c.check = func(clone *vfstest.Mem, p promise) error {
		v, err := OpenView(clone, testDir)
		if err != nil {
			return err
		}
		if err := sameEvents(v); err != nil {
			return fmt.Errorf("view: %w", err)
		}
		j, err := Open(options(clone))
		if err != nil {
			return err
		}
		defer j.Close()
		for !j.Watching() {
			time.Sleep(50 * time.Microsecond)
		}
		if v, err = j.View(); err != nil {
			return err
		}
		want, err := scanned(v)
		if err != nil {
			return err
		}
		if plain(j.Events()) != plain(want) {
			return fmt.Errorf("opened:\n%s\nreading all gives:\n%s", plain(j.Events()), plain(want))
		}
		for _, e := range want {
			if from, ok := named[e.N]; ok && from != e.From {
				return fmt.Errorf("event %d begins at %d, and was reported at %d", e.N, e.From, from)
			}
		}
		return nil
	}
	o := options(vfstest.WithFaults(c.mem, c.before))
	o.OnEvent = func(e event.Event) {
		c.mu.Lock()
		defer c.mu.Unlock()
		named[e.N] = e.From
	}
	at := int64(0)
	r := rand.New(rand.NewPCG(9, 9))
	for round := range 2 {
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := j.StartTimeline(t.Context(), TimelineStart{ReplID: "a", Start: at,
			Parent: TimelineID(round), Fork: at})
		if err != nil {
			t.Fatal(err)
		}
		at = destruction(t, j, r, clock, tl.ID, at, 16)
		closeJournal(t, j)
	}
	if n := c.done(t); n < 60 {
		t.Errorf("%d points only", n)
	}
}
