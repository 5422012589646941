package upstream

import (
	"testing"
	"time"
)

func TestBackoffDoublesUpToMax(t *testing.T) {
	b := Backoff{Max: 50 * time.Millisecond, Rand: func() float64 { return 0 }}
	for round := range 2 {
		for i, want := range []time.Duration{10, 20, 40, 50, 50} {
			if got := b.Next(); got != want*time.Millisecond {
				t.Errorf("round %d, delay %d: got %v, want %vms", round, i, got, int(want))
			}
		}
		b.Reset()
	}
}

func TestBackoffStaysInRange(t *testing.T) {
	for _, limit := range []time.Duration{0, time.Millisecond, time.Second, 1<<63 - 1} {
		b := Backoff{Max: limit}
		for range 200 {
			if d := b.Next(); d <= 0 || d > max(limit, firstBackoff) {
				t.Fatalf("Max %v: got a delay of %v", limit, d)
			}
		}
	}
}

func TestBackoffUsesTheWholeRange(t *testing.T) {
	draws := []float64{0, 0.5, 0.999999}
	b := Backoff{Max: firstBackoff, Rand: func() (r float64) {
		r, draws = draws[0], draws[1:]
		return r
	}}
	all, half, least := b.Next(), b.Next(), b.Next()
	if all != firstBackoff || half != firstBackoff/2 || least > time.Microsecond || least <= 0 {
		t.Errorf("got %v, %v, %v", all, half, least)
	}
}
