//go:build linux

package main

import (
	"math"
	"time"
)

// histogram counts times in buckets that are 1 % wide, from a microsecond to over a minute. The
// zero value is empty.
type histogram struct {
	counts [1840]int
	total  int
}

const bucketWidth = 1.01

// bucketOf returns the number of the bucket; times outside are counted at the ends.
func bucketOf(d time.Duration) int {
	us := float64(d) / float64(time.Microsecond)
	if us <= 1 {
		return 0
	}
	return min(int(math.Log(us)/math.Log(bucketWidth)), len(histogram{}.counts)-1)
}

func (h *histogram) add(d time.Duration, n int) {
	if n > 0 {
		h.counts[bucketOf(d)] += n
		h.total += n
	}
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile returns the time, in milliseconds, below which a share q of all times is; 0 of none.
func (h *histogram) quantile(q float64) float64 {
	rank, seen := int(math.Ceil(q*float64(h.total))), 0
	for i, n := range h.counts {
		if seen += n; seen >= rank && n > 0 {
			return math.Pow(bucketWidth, float64(i)+0.5) / 1000 // the middle of the bucket
		}
	}
	return 0
}
