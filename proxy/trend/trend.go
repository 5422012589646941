// Package trend keeps the recent history of counters: their growth in each minute of the last hour, and in each hour
// of the last day. It asks no counter: its caller notes the totals, often enough that a minute is worth its name.
//
// A counter takes a fixed amount of memory, whatever it counts, and is forgotten with its name: a Book holds the names of
// the last Note. Time is the process's own, so that a clock that is set moves nothing.
//
// A Book is safe for concurrent use. Totals are noted in the order in which they were read: the caller sees to that.
package trend

import (
	"sync"
	"time"
)

// The numbers of steps, and their lengths.
const (
	Minutes = 60
	Hours   = 24
)

// A Trend is the growth of one counter, oldest step first. The last step has not ended.
type Trend struct {
	Minutes [Minutes]uint64
	Hours   [Hours]uint64
}

// A Book holds the histories of counters by their names. Make it by New.
type Book struct {
	began time.Time // time 0 of the steps

	mu     sync.Mutex
	series map[string]*series
}

// series is one counter: its last total, and the steps as rings, in which step n has the place n modulo the length.
type series struct {
	total   uint64
	minutes [Minutes]uint64
	hours   [Hours]uint64
	minute  int // the last step written
	hour    int
}

// New makes a Book of counters that are 0 now.
func New(now time.Time) *Book { return &Book{began: now, series: map[string]*series{}} }

// Note adds the growth of each counter since the last Note to the present step. A total that is smaller than before is
// that of a counter that began again.
func (b *Book) Note(now time.Time, totals map[string]uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.series {
		if _, ok := totals[name]; !ok {
			delete(b.series, name)
		}
	}
	minute, hour := b.steps(now)
	for name, total := range totals {
		s := b.series[name]
		if s == nil {
			s = &series{minute: minute, hour: hour}
			b.series[name] = s
		}
		s.turn(minute, hour)
		growth := total
		if total >= s.total {
			growth -= s.total
		}
		s.total = total
		s.minutes[s.minute%Minutes] += growth
		s.hours[s.hour%Hours] += growth
	}
}

// Trends returns all histories as of now, by name.
func (b *Book) Trends(now time.Time) map[string]*Trend {
	b.mu.Lock()
	defer b.mu.Unlock()
	minute, hour := b.steps(now)
	out := make(map[string]*Trend, len(b.series))
	for name, s := range b.series {
		s.turn(minute, hour)
		t := &Trend{}
		unroll(t.Minutes[:], s.minutes[:], s.minute)
		unroll(t.Hours[:], s.hours[:], s.hour)
		out[name] = t
	}
	return out
}

// steps are the numbers of the present minute and hour.
func (b *Book) steps(now time.Time) (minute, hour int) {
	since := max(0, now.Sub(b.began))
	return int(since / time.Minute), int(since / time.Hour)
}

// turn empties the steps that have begun since the last one.
func (s *series) turn(minute, hour int) {
	s.minute = clearSteps(s.minutes[:], s.minute, minute)
	s.hour = clearSteps(s.hours[:], s.hour, hour)
}

// clearSteps empties the places of the steps after last up to now, and returns the later of the two.
func clearSteps(ring []uint64, last, now int) int {
	for step := max(last+1, now-len(ring)+1); step <= now; step++ {
		ring[step%len(ring)] = 0
	}
	return max(last, now)
}

// unroll copies a ring whose last step is now, oldest step first.
func unroll(to, ring []uint64, now int) {
	for i := range to {
		to[i] = ring[(now+1+i)%len(ring)]
	}
}
