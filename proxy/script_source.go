package proxy

import (
	"bytes"
	"time"

	"holdfast/policy"
)

// Scanning a source takes some 50 ns a byte, during which all clients of a loop would wait. So one
// loop iteration scans at most sourceBudget. Goroutines scan the sources beyond it, while only
// their sessions wait. Results are cached by SHA1, so that each source is scanned once.

// sourceBudget is the number of bytes of unseen sources that one loop iteration scans itself.
const sourceBudget = 8 << 10

// sourceShare: scans off the loop get 1/sourceShare of a processor's time.
const sourceShare = 5

// sourceReader is a worker's budget for scanning sources, and the queue of sources beyond it. The
// queue is fair to hosts. The reader scans one source at a time and rests after each, for two
// reasons: loops, goroutines and often the server share the processors; and the server compiles and
// runs a large script while every client's commands wait. So unseen scripts reach the server a few
// at a time, between other clients' commands.
type sourceReader struct {
	turn int64 // loop time of the iteration to which left belongs
	left int

	waiting hostQueue[*sourceReading]
	busy    bool // a scan is in progress, or the reader rests
	// start scans a source off the loop and then calls scanned on the loop.
	start func(*sourceReading)
	// after runs a function on the loop, later.
	after func(time.Duration, func())
}

// sourceReading is a source to scan off the loop.
type sourceReading struct {
	src    []byte
	script *policy.Script
	took   time.Duration
	wanted func() bool // its session is still there
	done   func(*policy.Script)
}

// scan scans a source soon, in the turn of its host.
func (r *sourceReader) scan(host string, x *sourceReading) {
	r.waiting.push(host, x)
	r.next()
}

// next starts with the next source whose session is still there.
func (r *sourceReader) next() {
	for !r.busy {
		x, ok := r.waiting.pop()
		if !ok {
			return
		}
		if x.wanted() {
			r.busy = true
			r.start(x)
		}
	}
}

// scanned hands over the result, and starts the next scan after the rest.
func (r *sourceReader) scanned(x *sourceReading) {
	if x.wanted() {
		x.done(x.script)
	}
	r.after(x.took*(sourceShare-1), func() {
		r.busy = false
		r.next()
	})
}

// spend takes n bytes from the iteration's budget; false: fewer are left.
func (r *sourceReader) spend(turn int64, n int) bool {
	if r.turn != turn {
		r.turn, r.left = turn, sourceBudget
	}
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

// learnSource scans the code in the command in hand.
func (f *frame) learnSource(src []byte) next {
	s := f.s
	w := s.w
	f.asked.Script = s.again.script
	if f.asked.Script != nil {
		return goOn
	}
	if len(src) <= policy.MaxScriptBytes { // the SHA1 of a larger one would take too long as well
		if f.asked.Script = w.srv.scripts.Seen(src); f.asked.Script != nil {
			return goOn
		}
		if w.sources.spend(w.loop.Now(), len(src)) {
			f.asked.Script = w.srv.scripts.Source(src)
			return goOn
		}
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	f.scanBeside(bytes.Clone(src))
	return waitCall
}

// scanBeside queues a source for a scan off the loop, and resumes the session after it.
func (f *frame) scanBeside(src []byte) {
	s := f.s
	s.gather(int64(len(src)))
	s.calling = true
	s.w.sources.scan(hostOf(s.conn.RemoteAddr()), &sourceReading{
		src:    src,
		wanted: func() bool { return !s.closed },
		done: func(script *policy.Script) {
			s.calling = false
			s.gather(-int64(len(src)))
			s.again.script = script
			s.w.wakeUp(s)
		},
	})
}

// startReading is sourceReader.start.
func (w *worker) startReading(x *sourceReading) {
	w.dials.Add(1)
	go w.readSource(x)
}

// readSource scans a source on its own goroutine.
func (w *worker) readSource(x *sourceReading) {
	defer w.dials.Done()
	began := time.Now()
	x.script = w.srv.scripts.Source(x.src)
	x.took = time.Since(began)
	w.loop.Post(func() { w.sources.scanned(x) })
}
