// Package queue holds a FIFO for the state of event loops: requests of a link, replies that wait for a proof.
package queue

import "unsafe"

// Queue is a growing FIFO. The zero value is ready. One goroutine at a time may use it.
//
// At and Front return pointers into the queue's room, which are valid until the next call of Add, Push, Pop or
// Drop.
type Queue[T any] struct {
	buf  []T // length is a power of two, or zero
	head int
	n    int
}

const (
	startSize = 16
	// keepBytes is the most bytes that an empty queue keeps: enough for a link to which 500 clients
	// send 16 requests at a time.
	keepBytes = 1 << 20
)

// Len returns the number of elements.
func (q *Queue[T]) Len() int { return q.n }

// Add returns the new last element, which is zero, for the caller to fill in.
func (q *Queue[T]) Add() *T {
	if q.n == len(q.buf) {
		q.grow()
	}
	e := &q.buf[(q.head+q.n)&(len(q.buf)-1)]
	q.n++
	return e
}

// Push adds an element.
func (q *Queue[T]) Push(v T) { *q.Add() = v }

// At returns the i-th oldest element.
func (q *Queue[T]) At(i int) *T { return &q.buf[(q.head+i)&(len(q.buf)-1)] }

// Front returns the oldest element; the queue must not be empty.
func (q *Queue[T]) Front() *T { return &q.buf[q.head] }

// Pop takes the oldest element out.
func (q *Queue[T]) Pop() T {
	v := q.buf[q.head]
	q.Drop()
	return v
}

// Drop is Pop without the element.
func (q *Queue[T]) Drop() {
	var zero T
	q.buf[q.head] = zero
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	if q.n == 0 {
		q.head = 0
		if len(q.buf)*int(unsafe.Sizeof(zero)) > keepBytes {
			q.buf = nil
		}
	}
}

func (q *Queue[T]) grow() {
	buf := make([]T, max(startSize, 2*len(q.buf)))
	k := copy(buf, q.buf[q.head:])
	copy(buf[k:], q.buf[:q.head])
	q.buf, q.head = buf, 0
}
