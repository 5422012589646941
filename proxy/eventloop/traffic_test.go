package eventloop

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// pipe forwards one connection to another as a proxy does: it pauses the source while the sink has
// too much to send, and on top of that now and then for no reason.
type pipe struct {
	to      *Conn
	rnd     *rand.Rand
	napping bool
}

// pipeLimit is the output that a pipe lets gather.
const pipeLimit = 32 << 10

func (p *pipe) OnData(c *Conn, b []byte) {
	if c.ReadPaused() {
		panic("OnData during a pause")
	}
	switch p.rnd.IntN(3) {
	case 0:
		p.to.WriteOwned(append([]byte(nil), b...))
	case 1:
		p.to.Write(b)
		p.to.Flush()
	default:
		p.to.Write(b)
	}
	if p.to.Buffered() > pipeLimit {
		c.PauseRead()
		return
	}
	if p.rnd.IntN(20) == 0 {
		p.napping = true
		c.PauseRead()
		c.loop.AfterFunc(time.Millisecond, func() {
			p.napping = false
			p.wake(c)
		})
	}
}

func (p *pipe) wake(c *Conn) {
	if !p.napping && p.to.Buffered() <= pipeLimit {
		c.ResumeRead()
	}
}

func (p *pipe) OnEOF(*Conn)          { p.to.CloseAfterFlush(patienceInTests) }
func (p *pipe) OnClose(*Conn, error) { p.to.Close() }

// OnDrain is told of c's own output, which is the other pipe's: its source may go on.
func (p *pipe) OnDrain(c *Conn) {
	if back, ok := p.to.h.(*pipe); ok {
		back.wake(p.to)
	}
}

// TestRandomTraffic sends streams through pipes, all at once: every byte arrives, in order.
func TestRandomTraffic(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		const pipes, size = 8, 400 << 10
		var wg sync.WaitGroup
		for i := range pipes {
			in, source := tcpPair(t)
			out, sink := tcpPair(t)
			r.join(in, out, uint64(i))
			want := sample(size + i)
			send(t, source, want)
			wg.Go(func() {
				got, err := io.ReadAll(sink)
				if err != nil || len(got) != len(want) || string(got) != string(want) {
					t.Errorf("pipe %d: %d of %d bytes, %v", i, len(got), len(want), err)
				}
				sink.Close()
				source.Close()
			})
		}
		wg.Wait()
		r.do(func() {
			for _, c := range r.l.slots {
				if c != nil {
					c.Close()
				}
			}
		})
	})
}

func (r *rig) join(in, out net.Conn, seed uint64) {
	if r.bridged {
		in, out = opaque{in}, opaque{out}
	}
	a := &pipe{rnd: rand.New(rand.NewPCG(seed, 1))}
	b := &pipe{rnd: rand.New(rand.NewPCG(seed, 2))}
	r.do(func() {
		var err1, err2 error
		b.to, err1 = r.l.Add(in, a, PrioritySession)
		a.to, err2 = r.l.Add(out, b, PriorityLink)
		if err1 != nil || err2 != nil {
			r.Error(err1, err2)
		}
	})
}
