package queue

import (
	"slices"
	"testing"
)

// A queue gives out what was put in, in order, wherever it wraps, and keeps no more room when it is
// empty than it may.
func TestQueue(t *testing.T) {
	t.Parallel()
	var q Queue[int]
	var want []int
	next := 0
	for _, step := range []int{3, -2, 20, -15, 30, -36, 17, -17, 5000, -5000, 1 << 18,
		-(1 << 18)} {
		for ; step > 0; step-- {
			q.Push(next)
			want = append(want, next)
			next++
		}
		for ; step < 0; step++ {
			if got := q.Pop(); got != want[0] {
				t.Fatalf("got %d, want %d", got, want[0])
			}
			want = want[1:]
		}
		var got []int
		for i := range q.Len() {
			got = append(got, *q.At(i))
		}
		if !slices.Equal(got, want) || len(want) > 0 && *q.Front() != want[0] {
			t.Fatalf("holds %v, want %v", got, want)
		}
	}
	if q.buf != nil {
		t.Errorf("room for %d is kept", len(q.buf))
	}
	q.Push(1)
	q.Pop()
	if q.buf == nil || slices.ContainsFunc(q.buf, func(v int) bool { return v != 0 }) {
		t.Errorf("left behind: %v", q.buf)
	}
}
