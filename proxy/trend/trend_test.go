package trend

import (
	"testing"
	"time"
)

var began = time.Date(2026, 11, 29, 14, 3, 5, 0, time.UTC)

// at is a time so long after the beginning.
func at(d time.Duration) time.Time { return began.Add(d) }

// check compares the last steps of a history, and requires all others to be 0.
func check(t *testing.T, what string, got, last []uint64) {
	t.Helper()
	for i, n := range got {
		want := uint64(0)
		if at := i - (len(got) - len(last)); at >= 0 {
			want = last[at]
		}
		if n != want {
			t.Fatalf("%s: %v, want the last ones to be %v", what, got, last)
		}
	}
}

// The growth between two notes counts for the step of the second; steps without a note are 0.
func TestBook(t *testing.T) {
	b := New(began)
	note := func(d time.Duration, total uint64) { b.Note(at(d), map[string]uint64{"flush": total}) }
	look := func(d time.Duration) *Trend { return b.Trends(at(d))["flush"] }
	note(0, 0)
	note(10*time.Second, 3)
	note(50*time.Second, 4)
	check(t, "the first minute", look(50 * time.Second).Minutes[:], []uint64{4})
	note(time.Minute, 4)
	note(90*time.Second, 10)
	note(4*time.Minute, 11)
	check(t, "minutes", look(5 * time.Minute).Minutes[:], []uint64{4, 6, 0, 0, 1, 0})
	check(t, "hours", look(5 * time.Minute).Hours[:], []uint64{11})
	note(61*time.Minute, 13) // the first minute has left the hour
	check(t, "an hour later", look(61 * time.Minute).Minutes[:], append(append([]uint64{0, 0, 1}, make([]uint64, 56)...), 2))
	check(t, "an hour later", look(61 * time.Minute).Hours[:], []uint64{11, 2})
	check(t, "a day later", look(25 * time.Hour).Hours[:], nil)
	note(100*time.Hour, 20)
	check(t, "after a long silence", look(100 * time.Hour).Minutes[:], []uint64{7})
	note(99*time.Hour, 21) // a time before the last one changes no other step
	note(100*time.Hour, 22)
	if got := look(100 * time.Hour).Hours[Hours-1]; got != 9 {
		t.Errorf("the present hour has %d", got)
	}
}

// A counter that begins again has grown by its new total.
func TestCounterBeginsAgain(t *testing.T) {
	b := New(began)
	for _, total := range []uint64{100, 7, 9} {
		b.Note(at(time.Second), map[string]uint64{"a": total})
	}
	check(t, "minutes", b.Trends(at(time.Second))["a"].Minutes[:], []uint64{109})
}

// A name that is not noted any more is forgotten, so that reloads do not fill the memory.
func TestNamesAreBounded(t *testing.T) {
	b := New(began)
	b.Note(at(0), map[string]uint64{"a": 1, "b": 1})
	b.Note(at(0), map[string]uint64{"b": 2})
	if got := b.Trends(at(0)); len(got) != 1 || got["b"] == nil || len(b.series) != 1 {
		t.Errorf("%v", got)
	}
	b.Note(at(0), nil)
	if len(b.series) != 0 {
		t.Errorf("%v", b.series)
	}
}
