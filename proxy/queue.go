package proxy

import "unsafe"

// queue is a growing FIFO. The zero value is ready.
type queue[T any] struct {
	buf  []T // length is a power of two, or zero
	head int
	n    int
}

const (
	queueStart = 16
	// queueKeep is the most bytes that an empty queue keeps: enough for a link to which 500 clients
	// send 16 requests at a time.
	queueKeep = 1 << 20
)

func (q *queue[T]) len() int { return q.n }

// add returns the new last element, which is zero, for the caller to fill in.
func (q *queue[T]) add() *T {
	if q.n == len(q.buf) {
		q.grow()
	}
	e := &q.buf[(q.head+q.n)&(len(q.buf)-1)]
	q.n++
	return e
}

func (q *queue[T]) push(v T) { *q.add() = v }

// at returns the i-th oldest element.
func (q *queue[T]) at(i int) T { return q.buf[(q.head+i)&(len(q.buf)-1)] }

// front returns the oldest element; the queue must not be empty.
func (q *queue[T]) front() T { return q.buf[q.head] }

// pop takes the oldest element out.
func (q *queue[T]) pop() T {
	v := q.buf[q.head]
	q.drop()
	return v
}

// drop is pop without the element.
func (q *queue[T]) drop() {
	var zero T
	q.buf[q.head] = zero
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	if q.n == 0 {
		q.head = 0
		if len(q.buf)*int(unsafe.Sizeof(zero)) > queueKeep {
			q.buf = nil
		}
	}
}

func (q *queue[T]) grow() {
	buf := make([]T, max(queueStart, 2*len(q.buf)))
	k := copy(buf, q.buf[q.head:])
	copy(buf[k:], q.buf[:q.head])
	q.buf, q.head = buf, 0
}
