package proxy

// dialQueue paces the dials of dedicated links. Two thousand clients that begin a transaction or
// subscribe at the same time need a link each. If all were dialled at once, one turn of the loop
// would take them all over, and every command would wait for it; the server would accept them in
// one turn of its own; and the loop would compete with thousands of goroutines for a processor. So
// a worker has at most dialsAtOnce such dials in flight. The others wait, and their clients' hosts
// take turns.
//
// Shared links do not wait: they are few (linkRoom), and most commands use them.
type dialQueue struct {
	underWay int
	waiting  hostQueue[*link]
}

// dialsAtOnce is the number of concurrent dials of dedicated links, and so the number that one turn
// of the loop takes over, at some 50 µs each.
const dialsAtOnce = 8

// dial opens the connection of l, once a place is free.
func (w *worker) dial(l *link) {
	if l.lane != nil || l.roomless() {
		w.beginDial(l, func() {})
		return
	}
	if !l.dialWaits {
		l.dialWaits = true
		w.dialling.waiting.push(l.host, l)
	}
	w.dialNext()
}

// dialNext begins dials while places are free.
func (w *worker) dialNext() {
	for q := &w.dialling; q.underWay < dialsAtOnce; {
		l, ok := q.waiting.pop()
		if !ok {
			return
		}
		l.dialWaits = false
		switch {
		case l.closed:
		case w.dialer.wait(w.loop.Now()) > 0:
			w.failSoon(l)
		default:
			q.underWay++
			w.beginDial(l, w.dialEnded)
		}
	}
}

// dialEnded frees the place of an ended dial.
func (w *worker) dialEnded() {
	w.dialling.underWay--
	w.dialNext()
}
