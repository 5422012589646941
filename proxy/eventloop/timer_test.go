package eventloop

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestTimerHeap compares the heap with a sorted list under random operations.
func TestTimerHeap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	l := &Loop{}
	var fired, want []int
	when := map[*Timer]int64{}
	id := map[*Timer]int{}
	for i := range 300 {
		tm := l.AfterFunc(time.Duration(rnd.IntN(1000)), func() { fired = append(fired, i) })
		when[tm], id[tm] = tm.when, i
	}
	for tm := range when {
		switch rnd.IntN(3) {
		case 0:
			if !tm.Stop() || tm.Stop() {
				t.Error("Stop")
			}
			delete(when, tm)
		case 1:
			tm.Reset(time.Duration(1000 + rnd.IntN(1000)))
			when[tm] = tm.when
		}
	}
	var last int64
	for now := int64(0); now <= 2000; now += 50 {
		var due []int
		for tm, at := range when {
			if at > last && at <= now {
				due = append(due, id[tm])
			}
		}
		n := len(fired)
		l.timers.run(now)
		got := slices.Sorted(slices.Values(fired[n:]))
		slices.Sort(due)
		if !slices.Equal(got, due) {
			t.Fatalf("at %d: fired %v, want %v", now, got, due)
		}
		want, last = append(want, due...), now
	}
	if len(l.timers.heap) != 0 || len(fired) != len(want) {
		t.Errorf("%d timers left, %d fired, want %d", len(l.timers.heap), len(fired), len(want))
	}
}

func TestTimersFireInOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		var got []int
		var stopped, late *Timer
		start := int64(0)
		fire := func(i int, after time.Duration) func() {
			return func() {
				got = append(got, i)
				if r.l.Now()-start < int64(after) {
					t.Errorf("timer %d is early: %v", i, time.Duration(r.l.Now()-start))
				}
			}
		}
		r.do(func() {
			start = r.l.Now()
			const ms = time.Millisecond
			r.l.AfterFunc(9*ms, fire(3, 9*ms))
			r.l.AfterFunc(3*ms, fire(1, 3*ms))
			r.l.AfterFunc(6*ms, fire(2, 6*ms))
			r.l.AfterFunc(0, fire(0, 0))
			stopped = r.l.AfterFunc(5*ms, fire(-1, 0))
			late = r.l.AfterFunc(1*ms, fire(4, 12*ms))
			stopped.Stop()
			late.Reset(12 * ms)
		})
		r.until("all fired", func() bool { return len(got) == 5 })
		if !slices.IsSorted(got) {
			t.Errorf("fired in the order %v", got)
		}
		r.do(func() {
			if late.Stop() {
				t.Error("Stop of a timer that has fired")
			}
			late.Reset(0)
		})
		r.until("fired again", func() bool { return len(got) == 6 })
	})
}

// TestTimerThatRearmsItself cannot keep the loop from its other work.
func TestTimerThatRearmsItself(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		n := 0
		var tm *Timer
		r.do(func() {
			tm = r.l.AfterFunc(0, func() {
				n++
				tm.Reset(0)
			})
		})
		r.until("fired often", func() bool { return n > 50 })
		r.do(func() { tm.Stop() })
	})
}
