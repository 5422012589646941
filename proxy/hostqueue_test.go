package proxy

import (
	"slices"
	"testing"
)

func TestHostsTakeTurns(t *testing.T) {
	var q hostQueue[int]
	for i := range 4 {
		q.push("a", i)
	}
	q.push("b", 10)
	q.push("b", 11)
	var got []int
	take := func() {
		x, ok := q.pop()
		if !ok {
			t.Fatal("the queue is empty")
		}
		got = append(got, x)
	}
	take()
	take()
	q.push("c", 20) // behind the hosts that wait, before what they have behind it
	for q.n > 0 {
		take()
	}
	if want := []int{0, 10, 1, 11, 20, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, ok := q.pop(); ok || len(q.lines) > 0 {
		t.Error("something is left")
	}
}
