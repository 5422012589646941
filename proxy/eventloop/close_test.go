package eventloop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

func TestResetMidWrite(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		for _, pri := range []Priority{PriorityLink, PrioritySession} {
			h := &recorder{}
			c, nc := r.pair(h, pri)
			r.do(func() { c.Write(sample(4 << 20)) })
			r.until("stuck", func() bool { return stuck(c) })
			reset(t, nc)
			r.until("OnClose", h.closed)
			r.do(func() {
				if h.errs[0] == nil || !c.Closed() {
					t.Errorf("closed %v: %v", c.Closed(), h.errs)
				}
				if c.Sent() == 0 || c.Sent() >= c.Queued() ||
					c.Buffered() != int(c.Queued()-c.Sent()) {
					t.Errorf("queued %d, sent %d, buffered %d", c.Queued(), c.Sent(), c.Buffered())
				}
				if h.drains != 0 || r.l.Conns() != 0 {
					t.Errorf("%d drains, %d connections", h.drains, r.l.Conns())
				}
			})
		}
	})
}

// reset closes with a TCP reset.
func reset(t testing.TB, nc net.Conn) {
	t.Helper()
	tcp := beneath(nc).(*net.TCPConn)
	if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestInputBeforeResetIsDelivered: also to a link that is paused meanwhile, as soon as it resumes.
func TestInputBeforeResetIsDelivered(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		for _, paused := range []bool{false, true} {
			h := &recorder{}
			c, nc := r.pair(h, PriorityLink)
			r.do(func() {
				if paused {
					c.PauseRead()
				}
			})
			mustWrite(t, nc, []byte("last words"))
			if !paused {
				r.until("input", func() bool { return h.got.Len() == 10 })
			}
			reset(t, nc)
			if paused {
				r.do(func() { c.Write([]byte("into the void")) })
				r.do(func() {
					if h.calls != 0 || len(h.errs) != 0 {
						t.Errorf("paused: %d calls, errors %v", h.calls, h.errs)
					}
					c.ResumeRead()
				})
			}
			r.until("OnClose", h.closed)
			r.do(func() {
				if h.got.String() != "last words" {
					t.Errorf("paused %v: got %q before OnClose", paused, &h.got)
				}
			})
		}
	})
}

// TestPausedSessionReset: a client that is gone is noticed although nobody reads it, where the
// system tells; a bridge learns it from the reader, which has at most one buffer in flight.
func TestPausedSessionReset(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PrioritySession)
		r.do(c.PauseRead)
		reset(t, nc)
		r.until("OnClose", h.closed)
		if h.calls+h.eofs != 0 {
			t.Errorf("read while paused: %+v", h)
		}
	})
}

// TestEndDuringPause is no reset: it is told after the pause, and after the input before it.
func TestEndDuringPause(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PrioritySession)
		r.do(c.PauseRead)
		mustWrite(t, nc, []byte("last command"))
		mustNot(t, nc.CloseWrite())
		r.do(func() { c.Write([]byte("answer")) })
		mustNot(t, second(io.ReadFull(nc, make([]byte, 6))))
		r.do(func() {
			if h.calls+h.eofs+len(h.errs) != 0 {
				t.Errorf("called during the pause: %+v", h)
			}
			c.ResumeRead()
		})
		r.until("end of input", func() bool { return h.eofs == 1 })
		if h.got.String() != "last command" || len(h.errs) != 0 {
			t.Errorf("got %q, errors %v", &h.got, h.errs)
		}
	})
}

func TestWriteErrorAfterPeerClosed(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		c, nc := r.pair(h, PriorityLink)
		mustWrite(t, nc, []byte("bye"))
		nc.Close()
		r.until("end of input", func() bool { return h.eofs == 1 })
		// The first write makes the peer send a reset; a later one fails.
		r.until("OnClose", func() bool {
			c.Write([]byte("x"))
			return h.closed()
		})
		if h.got.String() != "bye" || h.eofs != 1 {
			t.Errorf("got %q, %d ends", &h.got, h.eofs)
		}
	})
}

func TestCloseInCallbacks(t *testing.T) {
	type callbacks = func(h *recorder, closeIt func(c *Conn))
	for name, install := range map[string]callbacks{
		"OnData": func(h *recorder, f func(*Conn)) { h.onData = func(c *Conn, _ []byte) { f(c) } },
		"OnEOF":  func(h *recorder, f func(*Conn)) { h.onEOF = f },
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, r *rig) {
				h := &recorder{}
				install(h, func(c *Conn) {
					c.Write([]byte("dropped"))
					c.Close()
				})
				c, nc := r.pair(h, PrioritySession)
				mustWrite(t, nc, []byte("x"))
				mustNot(t, nc.CloseWrite())
				r.until("closed", c.Closed)
				_, _ = io.Copy(io.Discard, nc) // may end by a reset
				r.do(func() {
					if h.calls != 1 || len(h.errs) != 0 || r.l.Conns() != 0 {
						t.Errorf("%+v, %d connections", h, r.l.Conns())
					}
				})
			})
		})
	}
}

// TestCloseOthersInSameBatch closes connections whose events the kernel has reported already, and
// reuses their descriptors: nothing of the old ones may reach the new ones.
func TestCloseOthersInSameBatch(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		const n = 8
		var conns []*Conn
		var hs, fresh []*recorder
		var spare, peers []net.Conn
		first := true
		onData := func(me *Conn, _ []byte) {
			if !first {
				t.Error("OnData of a connection that is closed")
				return
			}
			first = false
			for _, c := range conns {
				if c != me {
					c.Close()
				}
			}
			for i, nc := range spare {
				if _, err := r.l.Add(nc, fresh[i], PrioritySession); err != nil {
					t.Error(err)
				}
			}
		}
		for range n {
			h := &recorder{onData: onData}
			c, nc := r.pair(h, PrioritySession)
			conns, hs, peers = append(conns, c), append(hs, h), append(peers, nc)
			ours, theirs := tcpPair(t)
			spare, fresh = append(spare, ours), append(fresh, &recorder{})
			peers = append(peers, theirs)
		}
		r.do(func() { // all events arrive while the loop is busy here
			for i := range conns {
				mustWrite(t, peers[2*i], []byte("old"))
			}
		})
		r.until("the first event", func() bool { return !first })
		for i := range fresh {
			mustWrite(t, peers[2*i+1], fmt.Appendf(nil, "new %d", i))
		}
		for i, h := range fresh {
			want := fmt.Sprintf("new %d", i)
			r.until("the new connection's data", func() bool { return h.got.String() == want })
		}
		r.do(func() {
			for _, h := range hs {
				if h.eofs != 0 || len(h.errs) != 0 {
					t.Errorf("called after Close: %+v", h)
				}
			}
		})
	})
}

// TestCloseAfterFlushBeatsReset: the peer reads the last reply although it was still sending.
func TestCloseAfterFlushBeatsReset(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		h := &recorder{}
		h.onData = func(c *Conn, _ []byte) {
			c.Write([]byte("-ERR enough\r\n"))
			c.CloseAfterFlush(patienceInTests)
		}
		c, nc := r.pair(h, PrioritySession)
		send(t, nc, sample(256<<10))
		if got := string(mustReadAll(t, nc)); got != "-ERR enough\r\n" {
			t.Errorf("got %q", got)
		}
		nc.Close()
		r.until("closed", c.Closed)
		if h.calls != 1 || h.eofs+len(h.errs) != 0 {
			t.Errorf("called after CloseAfterFlush: %+v", h)
		}
	})
}

func TestCloseAfterFlushGivesUp(t *testing.T) {
	for name, d := range map[string]time.Duration{"at once": 0, "later": 30 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, r *rig) {
				h := &recorder{}
				c, nc := r.pair(h, PrioritySession)
				r.do(func() {
					c.Write(sample(4 << 20))
					c.CloseAfterFlush(d)
					c.Write([]byte("dropped"))
				})
				r.until("closed", c.Closed)
				if c.Queued() != 4<<20 || c.Buffered() == 0 || len(h.errs)+h.drains != 0 {
					t.Errorf("queued %d, buffered %d, %+v", c.Queued(), c.Buffered(), h)
				}
				nc.Close()
			})
		})
	}
}

// TestLingerEnds: a peer that neither closes nor stops sending is closed after a while.
func TestLingerEnds(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		c, nc := r.pair(&recorder{}, PrioritySession)
		r.do(func() { c.CloseAfterFlush(time.Hour) })
		flood := sample(64 << 10)
		for {
			if _, err := nc.Write(flood); err != nil {
				break
			}
		}
		r.until("closed", c.Closed)

		c, _ = r.pair(&recorder{}, PrioritySession)
		r.do(func() { c.CloseAfterFlush(time.Hour) })
		r.until("closed", c.Closed)
	})
}

func TestStopClosesConnections(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		const n = 10
		var hs []*recorder
		var peers []peer
		closing := &recorder{}
		for range n {
			h := &recorder{}
			_, nc := r.pair(h, PrioritySession)
			hs, peers = append(hs, h), append(peers, nc)
		}
		c, _ := r.pair(closing, PrioritySession)
		r.do(func() {
			c.Write(sample(4 << 20))
			c.CloseAfterFlush(time.Hour)
		})
		r.end()
		for i, h := range hs {
			if !h.closed() || h.errs[0] != ErrStopped {
				t.Errorf("OnClose: %v", h.errs)
			}
			mustReadAll(t, peers[i])
		}
		if len(closing.errs) != 0 {
			t.Errorf("OnClose after CloseAfterFlush: %v", closing.errs)
		}
		if r.l.Conns() != 0 || r.l.Post(func() {}) {
			t.Error("the loop is not stopped")
		}
		ours, theirs := tcpPair(t)
		if _, err := r.l.Add(ours, &recorder{}, PriorityLink); !errors.Is(err, ErrStopped) {
			t.Errorf("Add: %v", err)
		}
		mustReadAll(t, theirs) // closed
	})
}
