package proxy

// hostQueue is a queue that is fair to hosts: they take turns, and the elements of one host are
// taken in order of arrival. So a host with thousands of elements delays another host's by one.
type hostQueue[T any] struct {
	lines map[string]*hostLine[T]
	turns []*hostLine[T] // the nonempty lines; the first is next
	n     int
}

// hostLine is the elements of one host.
type hostLine[T any] struct {
	host string
	in   []T
}

// push adds x to the end of its host's line.
func (q *hostQueue[T]) push(host string, x T) {
	line := q.lines[host]
	if line == nil {
		if q.lines == nil {
			q.lines = map[string]*hostLine[T]{}
		}
		line = &hostLine[T]{host: host}
		q.lines[host] = line
		q.turns = append(q.turns, line)
	}
	line.in = append(line.in, x)
	q.n++
}

// pop takes the next; false: empty.
func (q *hostQueue[T]) pop() (x T, ok bool) {
	if q.n == 0 {
		return x, false
	}
	var zero T
	line := q.turns[0]
	q.turns[0] = nil
	q.turns = q.turns[1:]
	x, line.in[0] = line.in[0], zero
	if line.in = line.in[1:]; len(line.in) > 0 {
		q.turns = append(q.turns, line)
	} else {
		delete(q.lines, line.host)
	}
	q.n--
	return x, true
}
