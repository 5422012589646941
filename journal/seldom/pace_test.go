package seldom

import (
	"testing"
	"time"
)

func TestPacePasses(t *testing.T) {
	t.Parallel()
	var p Pace
	for i, step := range []struct {
		text string
		now  time.Duration
		want bool
	}{
		{"", 0, true}, {"", 9 * time.Second, false}, {"", 10 * time.Second, true}, {"a", 11 * time.Second, true},
		{"a", 12 * time.Second, false}, {"b", 13 * time.Second, true}, {"a", 14 * time.Second, true},
		{"a", 23 * time.Second, false}, {"a", 24 * time.Second, true},
	} {
		if got := p.Passes(step.text, int64(step.now), 10*time.Second); got != step.want {
			t.Errorf("step %d, %q at %v: %t", i, step.text, step.now, got)
		}
	}
}

func TestPaceChanges(t *testing.T) {
	t.Parallel()
	var p Pace
	for i, step := range []struct {
		text string
		want bool
	}{{"", false}, {"a", true}, {"a", false}, {"b", true}, {"", false}, {"b", true}, {"b", false}} {
		if got := p.Changes(step.text); got != step.want {
			t.Errorf("step %d, %q: %t", i, step.text, got)
		}
	}
}
