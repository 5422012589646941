package eventloop

import "time"

// Timer runs a function on the loop once its time has come. It belongs to the loop's goroutine.
type Timer struct {
	loop  *Loop
	f     func()
	when  int64 // on the loop's clock, nanoseconds
	index int32 // in the heap, -1 when not armed
}

// AfterFunc runs f on the loop once d has passed since the turn started. The driver waits in whole
// milliseconds, so f runs up to about one millisecond late, never early.
func (l *Loop) AfterFunc(d time.Duration, f func()) *Timer {
	t := &Timer{loop: l, f: f, index: -1}
	t.Reset(d)
	return t
}

// Stop disarms t and reports whether it was armed. After Stop returns f does not run.
func (t *Timer) Stop() bool {
	if t.index < 0 {
		return false
	}
	t.loop.timers.remove(t)
	return true
}

// Reset arms t, whether it has run, was stopped or is armed, to run its function once d has passed
// since the turn started.
func (t *Timer) Reset(d time.Duration) {
	t.Stop()
	t.when = t.loop.now + max(1, int64(d))
	t.loop.timers.push(t)
}

// timerHeap is a binary heap by time. A timer knows its index, so that Stop, the end of nearly
// every timer, needs no search.
type timerHeap struct {
	heap []*Timer
}

// run fires the timers that are due. A timer armed meanwhile lies in the future, so one that always
// re-arms itself cannot hold the loop.
func (h *timerHeap) run(now int64) {
	for len(h.heap) > 0 && h.heap[0].when <= now {
		t := h.heap[0]
		h.remove(t)
		t.f()
	}
}

func (h *timerHeap) push(t *Timer) {
	t.index = int32(len(h.heap))
	h.heap = append(h.heap, t)
	h.up(int(t.index))
}

func (h *timerHeap) remove(t *Timer) {
	i, last := int(t.index), len(h.heap)-1
	if i != last {
		h.swap(i, last)
	}
	h.heap[last] = nil
	h.heap = h.heap[:last]
	if i != last {
		h.down(i)
		h.up(i)
	}
	t.index = -1
}

func (h *timerHeap) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].index, h.heap[j].index = int32(i), int32(j)
}

func (h *timerHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if h.heap[parent].when <= h.heap[i].when {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *timerHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.heap); child++ {
			if h.heap[child].when < h.heap[least].when {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
