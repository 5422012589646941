package telemetry

import (
	"math"
	"testing"
)

func bucketFor(t *testing.T, ns int64) int {
	t.Helper()
	var h Histogram
	h.Observe(ns)
	for i, n := range h.Buckets {
		if n == 1 {
			return i
		}
	}
	t.Fatalf("Observe(%d) counted nothing", ns)
	return -1
}

// Every bound is the last value of its bucket: that is what Prometheus's `le` promises.
func TestBucketsEndAtTheirBounds(t *testing.T) {
	for i := range NumBuckets - 1 {
		b := int64(Bound(i))
		if got := bucketFor(t, b); got != i {
			t.Errorf("Observe(%d): bucket %d, want %d", b, got, i)
		}
		if got := bucketFor(t, b+1); got != i+1 {
			t.Errorf("Observe(%d): bucket %d, want %d", b+1, got, i+1)
		}
		if i > 0 && Bound(i) <= Bound(i-1) {
			t.Errorf("Bound(%d) = %d, not above Bound(%d) = %d", i, Bound(i), i-1, Bound(i-1))
		}
	}
	if first, last := Bound(0), Bound(NumBuckets-2); first != 1024 || last != 1<<36 {
		t.Errorf("bounds run from %d to %d, want 1024 to %d", first, last, 1<<36)
	}
}

func TestObserveExtremes(t *testing.T) {
	for ns, want := range map[int64]int{
		math.MinInt64: 0, -1: 0, 0: 0, 1: 0, math.MaxInt64: NumBuckets - 1,
	} {
		if got := bucketFor(t, ns); got != want {
			t.Errorf("Observe(%d): bucket %d, want %d", ns, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("empty: p50 = %d, want 0", got)
	}
	for ns := int64(1); ns <= 1_000_000; ns += 100 {
		h.Observe(ns)
	}
	if h.Count() != 10_000 {
		t.Fatalf("Count = %d, want 10000", h.Count())
	}
	for _, q := range []float64{0.1, 0.5, 0.9, 0.99} {
		want := q * 1_000_000
		if got := float64(h.Quantile(q)); math.Abs(got-want)/want > 0.05 {
			t.Errorf("p%v = %v, want about %v", q*100, got, want)
		}
	}
	var slow Histogram
	slow.Observe(math.MaxInt64)
	if got := slow.Quantile(0.99); got != 1<<36 {
		t.Errorf("beyond the last bound: p99 = %d, want the last bound", got)
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(12345) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	ns := int64(1)
	for b.Loop() {
		h.Observe(ns)
		ns = ns*5 + 1
		if ns > 1e9 {
			ns = 1
		}
	}
}
