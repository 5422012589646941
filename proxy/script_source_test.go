package proxy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/policy"
)

// A turn of the loop reads a bounded part of unseen sources itself, and the next one as much again.
func TestSourceBudget(t *testing.T) {
	var r sourceReader
	for turn := range int64(3) {
		read := 0
		for range 100 {
			if r.spend(turn+1, 1000) {
				read += 1000
			}
		}
		if read != 8000 {
			t.Errorf("turn %d reads %d bytes", turn, read)
		}
	}
	if r.spend(9, sourceBudget+1) {
		t.Error("a source over the budget is read by the loop")
	}
}

// fakeReader is a sourceReader whose goroutine and clock the test plays.
type fakeReader struct {
	sourceReader
	scanning []*sourceReading
	rests    []time.Duration
	rested   func()
	done     []string
}

func newFakeReader() *fakeReader {
	f := &fakeReader{}
	f.start = func(x *sourceReading) { f.scanning = append(f.scanning, x) }
	f.after = func(d time.Duration, then func()) { f.rests, f.rested = append(f.rests, d), then }
	return f
}

func (f *fakeReader) bring(host, name string, wanted *bool) {
	f.scan(host, &sourceReading{src: []byte(name), wanted: func() bool { return *wanted },
		done: func(*policy.Script) { f.done = append(f.done, name) }})
}

// finish ends the scan under way and the rest behind it.
func (f *fakeReader) finish(took time.Duration) {
	x := f.scanning[len(f.scanning)-1]
	x.took = took
	f.scanned(x)
	f.rested()
}

// Sources are scanned one at a time, each with a rest behind it, and the hosts take turns.
func TestSourcesTakeTurns(t *testing.T) {
	f, yes := newFakeReader(), true
	for i := range 3 {
		f.bring("crowd", fmt.Sprint("crowd", i), &yes)
	}
	f.bring("other", "other", &yes)
	if len(f.scanning) != 1 {
		t.Fatalf("%d sources are scanned at once", len(f.scanning))
	}
	x := f.scanning[0]
	x.took = 7 * time.Millisecond
	f.scanned(x)
	if len(f.done) != 1 || len(f.scanning) != 1 {
		t.Errorf("before the end of the rest %q are done, and %d were begun", f.done, len(f.scanning))
	}
	if want := 7 * time.Millisecond * (sourceShare - 1); f.rests[0] != want {
		t.Errorf("the reader rests for %v, want %v", f.rests[0], want)
	}
	f.rested()
	for range 3 {
		f.finish(0)
	}
	if want := []string{"crowd0", "crowd1", "other", "crowd2"}; !slices.Equal(f.done, want) {
		t.Errorf("%q, want %q", f.done, want)
	}
	f.bring("crowd", "later", &yes)
	if f.finish(0); f.done[len(f.done)-1] != "later" {
		t.Errorf("%q: a reader at rest does not begin again", f.done)
	}
}

// Sources of clients that have gone are not scanned, and what was found for them is dropped.
func TestSourcesOfClientsThatHaveGone(t *testing.T) {
	f, yes, first, second := newFakeReader(), true, true, true
	f.bring("a", "first", &first)
	f.bring("a", "second", &second)
	f.bring("a", "third", &yes)
	first, second = false, false
	f.finish(0)
	f.finish(0)
	if len(f.scanning) != 2 || !slices.Equal(f.done, []string{"third"}) || f.busy {
		t.Errorf("%d were scanned, %q handed over", len(f.scanning), f.done)
	}
}
