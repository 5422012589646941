package proxy

import "time"

// desk runs a worker's long work outside its loop, one job at a time: making the lines of thousands
// of clients on the loop would delay every command. A rest follows each job, so that jobs take a
// share of one processor only, however many are queued: loops and desks share the processors.
type desk struct {
	free chan struct{} // holds one token during a job and the rest after it
}

// deskShare: a desk gets 1/deskShare of a processor's time.
const deskShare = 5

// beside runs work on its own goroutine, and after it then on the loop.
func (w *worker) beside(work, then func()) {
	w.dials.Add(1)
	go w.workBeside(work, then)
}

func (w *worker) workBeside(work, then func()) {
	defer w.dials.Done()
	select {
	case w.desk.free <- struct{}{}:
		defer func() { <-w.desk.free }()
	case <-w.ctx.Done():
		return // the loop is ending
	}
	began := time.Now()
	work()
	spent := time.Since(began)
	w.loop.Post(then)
	rest := time.NewTimer(spent * (deskShare - 1))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-w.ctx.Done():
	}
}
