package telemetry

import "math/bits"

const (
	// minBits: the first bucket ends at 1<<minBits nanoseconds, about 1 µs.
	minBits = 10
	// maxBits: the last bound is 1<<maxBits nanoseconds, about 69 s.
	maxBits = 36
	// NumBuckets is two for each doubling between the first bound and the last, one below them
	// and one above.
	NumBuckets = 2*(maxBits-minBits) + 2
)

// Histogram counts durations in buckets whose bounds grow by a half and a third in turn (1, 1.5, 2,
// 3, 4 …), so that a quantile read from it is usually off by a fifth at most. It is plain memory:
// one loop owns it. Bucket i counts durations above Bound(i-1) up to and including Bound(i), like
// Prometheus's `le`.
//
// Powers of two were chosen over round decimal bounds because the bucket is then two bits of the
// number itself: no search, no table.
type Histogram struct {
	Buckets [NumBuckets]uint64
	Sum     uint64 // nanoseconds
}

// Observe counts one duration in nanoseconds. A negative one, possible after a clock stepped back,
// counts as zero.
func (h *Histogram) Observe(ns int64) {
	ns = max(ns, 1)
	h.Sum += uint64(ns)
	h.Buckets[bucketOf(uint64(ns-1))]++
}

// bucketOf wants one less than the duration, which makes the upper bounds inclusive.
func bucketOf(v uint64) uint {
	if v < 1<<minBits {
		return 0
	}
	n := uint(bits.Len64(v))
	return min((n-minBits)*2-1+uint(v>>((n-2)&63)&1), NumBuckets-1)
}

// Bound returns the inclusive upper bound of bucket i in nanoseconds. The last bucket has none; do
// not pass it.
func Bound(i int) uint64 {
	low := uint64(1) << (minBits + i/2)
	return low + low/2*uint64(i&1)
}

// Count is the number of durations observed.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Add adds the counts of o.
func (h *Histogram) Add(o *Histogram) {
	for i, b := range o.Buckets {
		h.Buckets[i] += b
	}
	h.Sum += o.Sum
}

// Quantile estimates the duration, in nanoseconds, that the share q (0 to 1) of all observations
// did not exceed, by linear interpolation in its bucket. It is 0 when nothing was observed, and
// the last bound when the bucket without a bound is hit.
func (h *Histogram) Quantile(q float64) uint64 {
	rank := q * float64(h.Count())
	var seen float64
	for i, b := range h.Buckets {
		if b == 0 || seen+float64(b) < rank {
			seen += float64(b)
			continue
		}
		if i == NumBuckets-1 {
			return Bound(i - 1)
		}
		var low uint64
		if i > 0 {
			low = Bound(i - 1)
		}
		return low + uint64(float64(Bound(i)-low)*max(rank-seen, 0)/float64(b))
	}
	return 0
}
