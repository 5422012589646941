package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

// A load is workers that write and read through the proxies until stop.
type load struct {
	*harness.Workers
	addrs   []string // of the proxies
	manner  manner
	struck  atomic.Bool // the primary is being killed
	workers []*worker

	mu      sync.Mutex
	strange []history.Problem
}

// grace is the time for workers to finish their current step when the load stops.
const grace = 200 * time.Millisecond

func startLoad(addrs []string, workers int, seed uint64, m manner) *load {
	l := &load{Workers: harness.NewWorkers(), addrs: addrs, manner: m}
	for i := range workers {
		w := &worker{load: l, id: i, proxy: i % len(addrs), log: &history.Log{},
			rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		w.become()
		l.workers = append(l.workers, w)
		l.Go(w.run)
	}
	return l
}

// stop ends the load and returns the workers' logs.
func (l *load) stop() (*history.Log, []history.Problem) {
	l.Stop(grace)
	logs := make([]*history.Log, len(l.workers))
	for i, w := range l.workers {
		logs[i] = w.log
	}
	return history.Join(logs), l.strange
}

// complain records a forbidden answer.
func (l *load) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strange = append(l.strange, history.Problem{What: history.Misbehaved,
		Text: fmt.Sprintf(format, args...)})
}

// connect opens a connection that stop closes.
func (l *load) connect(addr string, resp3 bool) (*harness.Client, error) {
	c, err := l.Dial(addr, patience)
	if err != nil {
		return nil, err
	}
	if resp3 {
		if _, err := c.Must("HELLO", "3"); err != nil {
			l.Drop(c)
			return nil, err
		}
	}
	return c, nil
}

// A worker is one client of the load, in a goroutine of its own. It keeps to one proxy for the life
// of its connection, and goes to the next one when that breaks.
type worker struct {
	*load
	id    int
	proxy int
	rng   *rand.Rand
	log   *history.Log
	conn  *harness.Client // nil: none
	side  *harness.Client // for blocking commands
	tags  int
	user  bool // it logs in
	db    int
}

func (w *worker) run() {
	for !w.Stopping() {
		if w.ready() {
			w.step()
		}
	}
	w.disconnect()
}

// ready ensures a connection.
func (w *worker) ready() bool {
	if w.conn != nil {
		return true
	}
	c, err := w.open(w.rng.IntN(2) == 0)
	if err != nil {
		w.proxy = (w.proxy + 1) % len(w.addrs)
		w.rest()
		return false
	}
	w.conn = c
	return true
}

// disconnect gives both connections up: commands in flight there are in doubt.
func (w *worker) disconnect() {
	for _, c := range []*harness.Client{w.conn, w.side} {
		if c != nil {
			w.Drop(c)
		}
	}
	w.conn, w.side = nil, nil
}

// rest is the pause after a failure.
func (w *worker) rest() {
	w.Pause(time.Duration(2+w.rng.IntN(15)) * time.Millisecond)
}

// tag returns a unique value.
func (w *worker) tag() string {
	w.tags++
	return fmt.Sprintf("%d.%d", w.id, w.tags)
}

// span begins an interval.
func (w *worker) span() history.Span {
	return history.Span{Client: w.id, Proxy: w.proxy, Call: w.Clock(), Return: history.Never}
}

// finish ends an interval with a reply or the lack of one. It reports whether the command was
// acknowledged.
func (w *worker) finish(s *history.Span, v any, err error) bool {
	s.Return = w.Clock()
	if err != nil {
		s.Text = err.Error()
		w.disconnect()
		if timedOut(err) {
			s.Text = "no answer"
			if w.struck.Load() {
				return false // perhaps by a server that is being killed
			}
			w.complain("proxy %d has not answered what client %d asked at %v, at %v", s.Proxy, w.id, s.Call,
				s.Return)
		}
		return false
	}
	e, failed := v.(harness.ErrReply)
	if !failed {
		s.Outcome = history.Acked
		return true
	}
	s.Text = string(e)
	o, known := history.OutcomeOf(string(e))
	if !known || w.tooLate(e) {
		w.complain("%s", e)
	}
	s.Outcome = o
	return false
}

// ask sends one command and waits for its reply.
func (w *worker) ask(args ...string) (any, history.Span) {
	s := w.span()
	v, err := w.conn.Do(args...)
	if !w.finish(&s, v, err) {
		w.rest()
	}
	if args[0] != "GET" && args[0] != "WATCH" {
		w.proven(&s)
	}
	return v, s
}
