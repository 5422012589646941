package harness

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Times counts times from a microsecond to a minute and a half, to three digits. Its zero value is
// empty. One goroutine owns it.
type Times struct{ h *hdrhistogram.Histogram }

// slowest bounds the times: longer ones count as this.
const slowest = 90 * time.Second

func (t *Times) histogram() *hdrhistogram.Histogram {
	if t.h == nil {
		t.h = hdrhistogram.New(1, slowest.Microseconds(), 3)
	}
	return t.h
}

// Add counts a time n times.
func (t *Times) Add(d time.Duration, n int) {
	us := min(max(d, 0), slowest).Microseconds()
	_ = t.histogram().RecordValues(us, int64(n)) // it is within the bounds
}

// Merge adds the counts of o.
func (t *Times) Merge(o *Times) { t.histogram().Merge(o.histogram()) }

// N is the number of times.
func (t *Times) N() int { return int(t.histogram().TotalCount()) }

// Quantile is the time that the share q (0 to 1) of all did not exceed; 0 of none.
func (t *Times) Quantile(q float64) time.Duration {
	return time.Duration(t.histogram().ValueAtQuantile(100*q)) * time.Microsecond
}

// Max is the longest time; 0 of none.
func (t *Times) Max() time.Duration {
	return time.Duration(t.histogram().Max()) * time.Microsecond
}
