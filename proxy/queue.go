package proxy

// queue is a growing FIFO. The zero value is ready.
type queue[T any] struct {
	buf  []T // length is a power of two, or zero
	head int
	n    int
}

const (
	queueStart = 16
	// queueKeep is the largest capacity that an empty queue keeps.
	queueKeep = 16384
)

func (q *queue[T]) len() int { return q.n }

func (q *queue[T]) push(v T) {
	if q.n == len(q.buf) {
		q.grow()
	}
	q.buf[(q.head+q.n)&(len(q.buf)-1)] = v
	q.n++
}

// at returns the i-th oldest element.
func (q *queue[T]) at(i int) T { return q.buf[(q.head+i)&(len(q.buf)-1)] }

// front returns the oldest element; the queue must not be empty.
func (q *queue[T]) front() T { return q.buf[q.head] }

func (q *queue[T]) pop() T {
	var zero T
	v := q.buf[q.head]
	q.buf[q.head] = zero
	q.head = (q.head + 1) & (len(q.buf) - 1)
	q.n--
	if q.n == 0 {
		q.head = 0
		if len(q.buf) > queueKeep {
			q.buf = nil
		}
	}
	return v
}

func (q *queue[T]) grow() {
	buf := make([]T, max(queueStart, 2*len(q.buf)))
	k := copy(buf, q.buf[q.head:])
	copy(buf[k:], q.buf[:q.head])
	q.buf, q.head = buf, 0
}
