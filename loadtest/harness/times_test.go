package harness

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	var a, b Times
	if a.Quantile(0.5) != 0 || a.Max() != 0 || a.N() != 0 {
		t.Errorf("of none: %v, %v, %d", a.Quantile(0.5), a.Max(), a.N())
	}
	for i := 1; i <= 1000; i++ {
		a.Add(time.Duration(i)*100*time.Microsecond, 1)
	}
	b.Merge(&a)
	for q, want := range map[float64]time.Duration{
		0.5: 50 * time.Millisecond, 0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond,
	} {
		if got := b.Quantile(q); got < want*999/1000 || got > want*1001/1000 {
			t.Errorf("quantile %g is %v, want %v", q, got, want)
		}
	}
	for _, d := range []time.Duration{-1, 0, time.Nanosecond, time.Hour} {
		b.Add(d, 2) // counted at the ends, and no panic
	}
	if got := b.Max(); b.N() != 1008 || got < slowest*999/1000 || got > slowest*1001/1000 {
		t.Errorf("%d times, the longest %v", b.N(), got)
	}
}
