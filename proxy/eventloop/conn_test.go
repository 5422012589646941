package eventloop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
)

func TestEcho(t *testing.T) {
	for _, size := range []int{1, smallChunk, smallChunk + 1, DefaultReadBuffer, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			eachDriver(t, func(t *testing.T, r *rig) {
				h := echo()
				c, nc := r.pair(h, PrioritySession)
				want := sample(size)
				send(t, nc, want)
				mustEqual(t, "echo", mustReadAll(t, nc), want)
				nc.Close()
				r.until("closed", c.Closed)
				r.do(func() {
					if h.eofs != 1 || len(h.errs) != 0 || r.l.Conns() != 0 {
						t.Errorf("%d ends, errors %v, %d connections", h.eofs, h.errs, r.l.Conns())
					}
					if c.Sent() != uint64(size) || c.Queued() != c.Sent() || c.Buffered() != 0 {
						t.Errorf("sent %d, queued %d", c.Sent(), c.Queued())
					}
				})
			})
		})
	}
}

func TestManyConnections(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		const conns, rounds = 100, 20
		var wg sync.WaitGroup
		for i := range conns {
			_, nc := r.pair(echo(), PrioritySession)
			wg.Go(func() {
				got := make([]byte, 64)
				for j := range rounds {
					want := fmt.Appendf(nil, "%d/%d", i, j)
					mustNot(t, second(nc.Write(want)))
					mustNot(t, second(io.ReadFull(nc, got[:len(want)])))
					if string(got[:len(want)]) != string(want) {
						t.Errorf("got %q, want %q", got[:len(want)], want)
					}
				}
				nc.Close()
			})
		}
		wg.Wait()
		r.until("all closed", func() bool { return r.l.Conns() == 0 })
	})
}

func second[T any](_ T, err error) error { return err }

func mustNot(t testing.TB, err error) {
	if err != nil {
		t.Error(err)
	}
}

func TestHalfCloseLeavesConnWritable(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PrioritySession)
		want := sample(1 << 20)
		mustWrite(t, nc, []byte("question"))
		mustNot(t, nc.CloseWrite())
		r.until("end of input", func() bool { return h.eofs == 1 })
		r.do(func() {
			if h.got.String() != "question" {
				t.Errorf("before the end: %q", &h.got)
			}
			c.Write(want[:1000])
		})
		r.do(func() {
			c.Write(want[1000:])
			c.CloseAfterFlush(patienceInTests)
		})
		mustEqual(t, "answer", mustReadAll(t, nc), want)
		r.until("closed", c.Closed)
		if h.eofs != 1 || len(h.errs) != 0 {
			t.Errorf("%d ends, errors %v", h.eofs, h.errs)
		}
	})
}

func TestPeerThatDoesNotRead(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PrioritySession)
		// More than any socket buffer takes.
		want := sample(2 << 20)
		r.do(func() { c.Write(want) })
		r.until("stuck", func() bool { return stuck(c) })
		r.do(func() {
			if h.drains != 0 {
				t.Error("OnDrain with output left")
			}
			if c.Queued()-c.Sent() != uint64(c.Buffered()) {
				t.Errorf("queued %d, sent %d, buffered %d", c.Queued(), c.Sent(), c.Buffered())
			}
		})
		got := make([]byte, len(want))
		mustNot(t, second(io.ReadFull(nc, got)))
		mustEqual(t, "received", got, want)
		r.until("drained", func() bool { return h.drains == 1 })
		r.do(func() {
			if c.Buffered() != 0 || c.Sent() != uint64(len(want)) {
				t.Errorf("sent %d, buffered %d", c.Sent(), c.Buffered())
			}
			c.Write([]byte("more"))
		})
		mustNot(t, second(io.ReadFull(nc, got[:4])))
	})
}

// stuck says whether c has output that the kernel did not take.
func stuck(c *Conn) bool { return c.Sent() > 0 && c.state&stateWaiting != 0 }

// TestDrainAfterMuchOutput: whoever paused something because of Buffered is told to go on, although
// the kernel takes everything at once.
func TestDrainAfterMuchOutput(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PriorityLink)
		for i := 1; i <= 3; i++ {
			r.do(func() {
				c.Write(sample(DrainMark - 1))
				c.WriteOwned([]byte("x"))
			})
			mustNot(t, second(io.ReadFull(nc, make([]byte, DrainMark))))
			r.until("OnDrain", func() bool { return h.drains == i })
		}
	})
}

// TestDrainMayWrite: what OnDrain writes is sent, and drains again.
func TestDrainMayWrite(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		want := sample(6 << 20)
		rest := want
		h := &recorder{}
		next := func(c *Conn) {
			n := min(len(rest), 2<<20)
			c.Write(rest[:n])
			rest = rest[n:]
			if n == 0 {
				c.CloseAfterFlush(patienceInTests)
			}
		}
		h.onDrain = next
		c, nc := r.pair(h, PriorityLink)
		r.do(func() { next(c) })
		mustEqual(t, "received", mustReadAll(t, nc), want)
		nc.Close()
		r.until("closed", c.Closed)
	})
}

func TestPauseTakesEffectAtOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{onData: func(c *Conn, _ []byte) { c.PauseRead() }}
		c, nc := r.pair(h, PrioritySession)
		want := sample(512 << 10)
		send(t, nc, want)
		for i := 1; ; i++ {
			r.until("a piece", func() bool { return h.calls == i })
			done := false
			r.do(func() {
				if !c.ReadPaused() {
					t.Error("not paused")
				}
				if h.calls != i {
					t.Errorf("%d calls, want %d: delivered while paused", h.calls, i)
				}
				done = h.got.Len() == len(want)
				if !done && h.eofs != 0 {
					t.Errorf("end after %d bytes", h.got.Len())
				}
				c.ResumeRead()
			})
			if done {
				break
			}
		}
		r.until("end of input", func() bool { return h.eofs == 1 })
		mustEqual(t, "received", h.got.Bytes(), want)
	})
}

// TestPauseResumeInOneCallback: neither loses nor repeats anything, nor calls back during the call.
func TestPauseResumeInOneCallback(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		inside := false
		h := &recorder{}
		h.onData = func(c *Conn, _ []byte) {
			if inside {
				t.Error("OnData during ResumeRead")
			}
			inside = true
			c.PauseRead()
			c.ResumeRead()
			inside = false
		}
		_, nc := r.pair(h, PrioritySession)
		want := sample(1 << 20)
		send(t, nc, want)
		r.until("end of input", func() bool { return h.eofs == 1 })
		mustEqual(t, "received", h.got.Bytes(), want)
	})
}

// TestWriteOwnedOrder mixes copies and owned pieces, more of them than one writev takes.
func TestWriteOwnedOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		rnd := rand.New(rand.NewPCG(1, 2))
		c, nc := r.pair(&recorder{}, PrioritySession)
		want := sample(1 << 20)
		rest := want
		for len(rest) > 0 {
			r.do(func() {
				for range rnd.IntN(40) {
					n := min(len(rest), rnd.IntN(1<<rnd.IntN(18)))
					piece := rest[:n:n]
					if rest = rest[n:]; rnd.IntN(2) == 0 {
						c.WriteOwned(piece)
						continue
					}
					scratch := append([]byte(nil), piece...)
					c.Write(scratch)
					clear(scratch) // Write has taken a copy
				}
				if rnd.IntN(8) == 0 {
					c.Flush()
				}
			})
		}
		r.do(func() { c.CloseAfterFlush(patienceInTests) })
		mustEqual(t, "received", mustReadAll(t, nc), want)
	})
}

func TestFlushWritesAtOnce(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		if r.bridged || r.l.opts.Driver == driverPortable {
			return // there a flush only starts the writer
		}
		c, nc := r.pair(&recorder{}, PrioritySession)
		r.do(func() {
			c.Write([]byte("now"))
			c.Flush()
			if c.Buffered() != 0 {
				t.Errorf("%d bytes left", c.Buffered())
			}
		})
		mustNot(t, second(io.ReadFull(nc, make([]byte, 3))))
	})
}

// TestIdleConnIsSmall keeps ten thousand idle connections within a few megabytes.
func TestIdleConnIsSmall(t *testing.T) {
	if size := reflect.TypeFor[Conn]().Size(); size > 208 {
		t.Errorf("a Conn takes %d bytes", size)
	}
}

func TestClosedConnDoesNothing(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PrioritySession)
		r.do(func() {
			c.Write([]byte("lost"))
			c.Close()
			c.Close()
			c.Write([]byte("nothing"))
			c.WriteOwned([]byte("nothing"))
			c.Flush()
			c.PauseRead()
			c.ResumeRead()
			c.CloseAfterFlush(1)
			mustNot(t, c.SetKeepAlive(1))
			if c.Queued() != 4 || c.Sent() != 0 || c.Buffered() != 4 {
				t.Errorf("queued %d, sent %d", c.Queued(), c.Sent())
			}
		})
		if got := mustReadAll(t, nc); len(got) != 0 {
			t.Errorf("got %q", got)
		}
		r.do(func() {
			if h.calls+h.eofs+h.drains+len(h.errs) != 0 {
				t.Errorf("handler called after Close: %+v", h)
			}
		})
	})
}
