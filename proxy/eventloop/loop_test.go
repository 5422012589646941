package eventloop

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	if _, err := New(Options{Driver: "abacus"}); !errors.Is(err, ErrDriver) {
		t.Errorf("unknown driver: %v", err)
	}
	if _, err := New(Options{ReadBuffer: -1}); err == nil {
		t.Error("a negative ReadBuffer is accepted")
	}
}

func TestPostFromManyGoroutines(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		const posters, each = 8, 2000
		var wg sync.WaitGroup
		last := make([]int, posters) // the loop's
		total := 0
		for i := range posters {
			wg.Go(func() {
				for j := 1; j <= each; j++ {
					r.l.Post(func() {
						if last[i] != j-1 {
							t.Errorf("poster %d: %d came after %d", i, j, last[i])
						}
						last[i] = j
						total++
					})
				}
			})
		}
		wg.Wait()
		r.until("all ran", func() bool { return total == posters*each })
	})
}

// TestPostWhileStopping: what Post accepted runs exactly once, what it refused never.
func TestPostWhileStopping(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		var wg sync.WaitGroup
		var accepted, ran atomic.Int64
		for range 4 {
			wg.Go(func() {
				for r.l.Post(func() { ran.Add(1) }) {
					accepted.Add(1)
				}
			})
		}
		eventually(t, "posting", func() bool { return ran.Load() > 1000 })
		r.end()
		wg.Wait()
		if accepted.Load() != ran.Load() {
			t.Errorf("%d accepted, %d ran", accepted.Load(), ran.Load())
		}
	})
}

func TestStopBeforeRun(t *testing.T) {
	for _, driver := range []string{bestDriver, driverPortable} {
		l, err := New(Options{Driver: driver})
		if err != nil {
			t.Fatal(err)
		}
		ran := false
		l.Post(func() { ran = true })
		l.Stop()
		l.Stop()
		if err := l.Run(); err != nil || !ran {
			t.Errorf("Run: %v, ran %v", err, ran)
		}
	}
}

// TestPostedByPosted runs in a later turn, so posting for ever starves nobody.
func TestPostedByPosted(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		stop, n := false, 0
		var again func()
		again = func() {
			if n++; !stop {
				r.l.Post(again)
			}
		}
		r.l.Post(again)
		_, nc := r.pair(echo(), PrioritySession)
		mustWrite(t, nc, []byte("ping"))
		mustNot(t, second(io.ReadFull(nc, make([]byte, 4))))
		r.do(func() { stop = true })
	})
}

func TestBeforeFlush(t *testing.T) {
	var c *Conn
	var turns []uint64
	o := Options{}
	o.BeforeFlush = func() {
		if c != nil && c.Queued() == 1 {
			turns = append(turns, c.loop.stats.Turns)
			c.Write([]byte("b"))
		}
		if c != nil && c.Sent() == 2 && len(turns) == 1 {
			turns = append(turns, c.loop.stats.Turns)
		}
	}
	r := newRig(t, o)
	conn, nc := r.pair(&recorder{}, PrioritySession)
	var turn uint64
	r.do(func() {
		c = conn
		turn = r.l.Stats().Turns
		c.Write([]byte("a"))
	})
	mustNot(t, second(io.ReadFull(nc, make([]byte, 2))))
	r.until("seen", func() bool { return len(turns) == 2 })
	if bestDriver == driverEpoll && !slices.Equal(turns, []uint64{turn, turn + 1}) {
		t.Errorf("written in turn %d, seen in turns %v", turn, turns)
	}
}

// order is a transport that notes which connection is flushed.
type order struct {
	transport
	flushed []Priority
}

func (o *order) flush(c *Conn) {
	o.flushed = append(o.flushed, c.pri)
	n := c.Buffered()
	c.loop.wrote(c, n)
	c.out.consume(&c.loop.pool, n)
}

func TestLinksAreFlushedFirst(t *testing.T) {
	l, o := &Loop{}, &order{}
	for _, pri := range []Priority{PrioritySession, PriorityLink, PrioritySession, PriorityLink} {
		c := &Conn{loop: l, t: o, pri: pri}
		c.Write([]byte("x"))
		c.Write([]byte("y"))
	}
	l.flush()
	want := []Priority{PriorityLink, PriorityLink, PrioritySession, PrioritySession}
	if !slices.Equal(o.flushed, want) {
		t.Errorf("flushed %v, want %v", o.flushed, want)
	}
	l.flush()
	if len(o.flushed) != len(want) {
		t.Error("flushed again without output")
	}
}

func TestNowAdvances(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		var before, after int64
		r.do(func() { before = r.l.Now() })
		fired := make(chan struct{})
		r.do(func() { r.l.AfterFunc(5*time.Millisecond, func() { close(fired) }) })
		<-fired
		r.do(func() { after = r.l.Now() })
		if after-before < int64(5*time.Millisecond) {
			t.Errorf("Now went from %d to %d", before, after)
		}
	})
}

func TestStats(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		_, nc := r.pair(echo(), PrioritySession)
		mustWrite(t, nc, sample(1000))
		mustNot(t, second(io.ReadFull(nc, make([]byte, 1000))))
		r.until("counted", func() bool { return r.l.Stats().Writes > 0 })
		r.do(func() {
			s := r.l.Stats()
			if s.BytesIn != 1000 || s.Reads == 0 || s.Writes == 0 || s.Turns == 0 {
				t.Errorf("%+v", s)
			}
		})
	})
}

// TestTurnIsFair: a connection that always has more is read a bounded number of times a turn.
func TestTurnIsFair(t *testing.T) {
	r := newRig(t, Options{ReadBuffer: 16})
	h := &recorder{}
	turn, calls := uint64(0), 0
	h.onData = func(c *Conn, p []byte) {
		if c.loop.stats.Turns != turn {
			turn, calls = c.loop.stats.Turns, 0
		}
		if calls++; calls > 4 {
			t.Errorf("%d reads in one turn", calls)
		}
	}
	_, nc := r.pair(h, PrioritySession)
	send(t, nc, sample(10_000))
	r.until("all read", func() bool { return h.eofs == 1 })
}
