package eventloop

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestNothingLeaks: after many connections, ended in every way, a stopped loop leaves neither
// descriptors nor goroutines.
func TestNothingLeaks(t *testing.T) {
	warm, _ := tcpPair(t) // Go's own poller keeps its descriptors once it has them
	warm.Close()
	for _, driver := range []string{driverEpoll, driverPortable} {
		t.Run(driver, func(t *testing.T) {
			fds, goroutines := openFDs(t), runtime.NumGoroutine()
			churn(t, driver)
			eventually(t, "descriptors and goroutines freed", func() bool {
				return openFDs(t) <= fds && runtime.NumGoroutine() <= goroutines
			})
		})
	}
}

// TestTurnsAreBounded: a turn reads as many connections as it has time for, and the next one begins with
// those that were left, though the ones before them have sent more.
func TestTurnsAreBounded(t *testing.T) {
	const all, each = 200, dispatchTime / 20
	now, cost := int64(0), int64(0)
	var read []int // the connections that the turn has read
	p, _ := newPump(t, all, func(i int) (Handler, Priority) {
		return &recorder{onData: func(*Conn, []byte) {
			now += cost
			read = append(read, i)
		}}, PrioritySession
	})
	p.l.clock = func() int64 { return now }
	turn := func() {
		read = read[:0]
		p.turn()
		for _, i := range read {
			p.write(i, []byte("x"))
		}
	}
	for i := range all {
		p.write(i, []byte("x"))
	}
	for range 10 { // where they take no time, turns grow
		turn()
	}
	cost = each
	if turn(); len(read) != all {
		t.Fatalf("%d are read in the turn in which they begin to take time", len(read))
	}
	first := -1
	for n := 0; n < 5*all; n += len(read) {
		if turn(); len(read) != int(dispatchTime/each) {
			t.Fatalf("%d are read in a turn that has time for %d", len(read), dispatchTime/each)
		}
		if first < 0 {
			first = read[0]
		}
		for k, i := range read {
			if want := (first + n + k) % all; i != want {
				t.Fatalf("connection %d is read, and it is the turn of %d", i, want)
			}
		}
	}
}

func churn(t *testing.T, driver string) {
	r := newRig(t, Options{Driver: driver})
	var peers []peer
	for i := range 60 {
		c, nc := r.pair(echo(), Priority(i%priorities))
		peers = append(peers, nc)
		switch i % 6 {
		case 0:
			r.do(c.Close)
		case 1:
			reset(t, nc)
		case 2:
			nc.Close()
		case 3:
			r.do(func() {
				c.Write(sample(1 << 20))
				c.CloseAfterFlush(time.Hour)
			})
		case 4:
			r.do(c.PauseRead)
			mustWrite(t, nc, []byte("unread"))
		}
	}
	r.end()
	for _, nc := range peers {
		nc.Close()
	}
}

// pump is a loop turned by the test's own goroutine, and the raw peers of its connections.
type pump struct {
	testing.TB
	l     *Loop
	peers []int
	buf   []byte

	nothing func()
	stuck   *time.Timer // runs out when a turn takes too long
}

// newPump adds n unix socket pairs.
func newPump(t testing.TB, n int, h func(i int) (Handler, Priority)) (*pump, []*Conn) {
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &pump{TB: t, l: l, buf: make([]byte, 256<<10), nothing: func() {}}
	var conns []*Conn
	for i := range n {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fds[0]), "pair")
		nc, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		handler, pri := h(i)
		c, err := l.Add(nc, handler, pri)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SetNonblock(fds[1], true); err != nil {
			t.Fatal(err)
		}
		conns, p.peers = append(conns, c), append(p.peers, fds[1])
	}
	p.stuck = time.AfterFunc(patienceInTests, func() { panic(t.Name() + ": the loop waits in vain") })
	t.Cleanup(func() {
		p.stuck.Stop()
		l.Stop()
		if err := l.Run(); err != nil {
			t.Error(err)
		}
		for _, fd := range p.peers {
			unix.Close(fd)
		}
	})
	return p, conns
}

// turn turns the loop. A turn that waits for input that does not come ends the test program: else it
// would wait as long as the whole suite may.
func (p *pump) turn() {
	p.stuck.Reset(patienceInTests)
	if err := p.l.turn(); err != nil {
		p.Fatal(err)
	}
}

func (p *pump) write(i int, b []byte) {
	if n, err := unix.Write(p.peers[i], b); n != len(b) {
		p.Fatalf("wrote %d of %d: %v", n, len(b), err)
	}
}

// read reads n bytes of what connection i sent. It turns the loop while they are not there: a turn
// reads only as many connections as it has time for.
func (p *pump) read(i, n int) {
	for turns := 0; n > 0; {
		k, err := unix.Read(p.peers[i], p.buf[:min(n, len(p.buf))])
		switch {
		case err == unix.EAGAIN && turns < 1000:
			turns++
			p.l.Post(p.nothing) // so that the turn does not wait for input
			p.turn()
		case k <= 0:
			p.Fatalf("read: %d, %v after %d turns", k, err, turns)
		default:
			n -= k
		}
	}
}

// relay forwards sessions to a link and hands each reply byte to the next session, as a proxy of
// one-byte replies would.
type relay struct {
	link     *Conn
	sessions []*Conn
	next     int
}

type relaySession struct {
	recorder
	r *relay
}

func (s *relaySession) OnData(_ *Conn, p []byte) { s.r.link.Write(p) }

type relayLink struct {
	recorder
	r *relay
}

func (k *relayLink) OnData(_ *Conn, p []byte) {
	for i := range p {
		k.r.sessions[k.r.next].Write(p[i : i+1])
		k.r.next = (k.r.next + 1) % len(k.r.sessions)
	}
}

// newRelay makes a relay of n sessions, whose peers come first, and one link.
func newRelay(t testing.TB, n int) *pump {
	r := &relay{}
	p, conns := newPump(t, n+1, func(i int) (Handler, Priority) {
		if i == n {
			return &relayLink{r: r}, PriorityLink
		}
		return &relaySession{r: r}, PrioritySession
	})
	r.sessions, r.link = conns[:n], conns[n]
	return p
}

// round sends a command on every session and has every one answered.
func (p *pump) round(cmd []byte) {
	n := len(p.peers) - 1
	for i := range n {
		p.write(i, cmd)
	}
	p.read(n, n*len(cmd))
	p.write(n, p.buf[:n])
	for i := range n {
		p.read(i, 1)
	}
}

func TestSteadyPathAllocatesNothing(t *testing.T) {
	p := newRelay(t, 10)
	timer := p.l.AfterFunc(time.Hour, func() {})
	posted := func() {}
	cmd := sample(40)
	if allocs := testing.AllocsPerRun(100, func() {
		p.round(cmd)
		p.l.Post(posted)
		timer.Reset(time.Hour)
	}); allocs != 0 {
		t.Errorf("%v allocations per round", allocs)
	}
}

// TestBulkAllocatesNothing: also not with output in many pieces.
func TestBulkAllocatesNothing(t *testing.T) {
	p, conns := newPump(t, 1, func(int) (Handler, Priority) {
		return &recorder{}, PrioritySession
	})
	big := sample(150_000)
	if allocs := testing.AllocsPerRun(50, func() {
		conns[0].Write(big[:10])
		conns[0].WriteOwned(big)
		conns[0].Write(big)
		for p.turn(); conns[0].Buffered() > 0; p.turn() {
			p.read(0, 65536)
			conns[0].Write(big[:1])
		}
		for int(conns[0].Sent()) > len(p.buf) && pending(p.peers[0]) > 0 {
			p.read(0, pending(p.peers[0]))
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per run", allocs)
	}
}

// pending counts the bytes that can be read.
func pending(fd int) int {
	n, _ := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return n
}

// TestUnacked: the kernel's output shrinks as the peer reads it, and only then.
func TestUnacked(t *testing.T) {
	p, conns := newPump(t, 1, func(int) (Handler, Priority) { return &recorder{}, PriorityLink })
	c := conns[0]
	c.Write(sample(50_000))
	p.turn()
	before := c.Unacked()
	if c.Buffered() > 0 || before < 50_000 || c.Unacked() != before {
		t.Errorf("%d buffered, %d not acknowledged, then %d", c.Buffered(), before, c.Unacked())
	}
	p.read(0, 50_000)
	if after := c.Unacked(); after != 0 {
		t.Errorf("%d not acknowledged after all was read", after)
	}
	c.Close()
	if c.Unacked() != 0 {
		t.Error("a closed connection has output")
	}
}

// TestIdleConnHoldsNoBuffer: all output chunks are back in the pool once they are sent.
func TestIdleConnHoldsNoBuffer(t *testing.T) {
	const n = 100
	p := newRelay(t, n)
	p.round(sample(40))
	for _, c := range p.l.slots {
		if c.out.head != nil || c.out.tail != nil {
			t.Fatal("an idle connection holds output")
		}
	}
	if got := p.l.pool.n; got[chunkSmall] != n || got[chunkLarge] != 1 {
		t.Errorf("pool %v", got)
	}
}

func TestSocketOptions(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		for _, tt := range []struct {
			pri  Priority
			set  time.Duration
			want map[[2]int]int
		}{
			{PrioritySession, -1, map[[2]int]int{
				{unix.IPPROTO_TCP, unix.TCP_NODELAY}: 1, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 1,
				{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}: 300, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: 100,
				{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}: 3}},
			{PriorityLink, 90 * time.Second, map[[2]int]int{
				{unix.IPPROTO_TCP, unix.TCP_NODELAY}: 1, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 1,
				{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}: 90, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: 30,
				{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}: 3}},
			{PrioritySession, 0, map[[2]int]int{
				{unix.IPPROTO_TCP, unix.TCP_NODELAY}: 1, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 0}},
		} {
			ours, _ := tcpPair(t)
			fd := dupFD(t, ours)
			nc := net.Conn(ours)
			if r.bridged {
				nc = withNetConn{ours}
			}
			c := r.add(nc, &recorder{}, tt.pri)
			if tt.set >= 0 {
				r.do(func() { mustNot(t, c.SetKeepAlive(tt.set)) })
			}
			for opt, want := range tt.want {
				if got, err := unix.GetsockoptInt(fd, opt[0], opt[1]); err != nil || got != want {
					t.Errorf("priority %d, option %v: got %d, want %d (%v)", tt.pri, opt, got, want, err)
				}
			}
			r.do(c.Close)
			unix.Close(fd)
		}
	})
}

// withNetConn wraps a connection the way tls.Conn does.
type withNetConn struct{ net.Conn }

func (w withNetConn) NetConn() net.Conn { return w.Conn }

func dupFD(t testing.TB, nc *net.TCPConn) int {
	t.Helper()
	sc, err := nc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := duplicate(sc)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestPausedLinkThatHangsUp leaves the loop asleep: epoll is not asked about it again.
func TestPausedLinkThatHangsUp(t *testing.T) {
	r := newRig(t, Options{})
	h := &recorder{}
	c, nc := r.pair(h, PriorityLink)
	mustWrite(t, nc, []byte("reply"))
	r.do(c.PauseRead)
	reset(t, nc)
	r.until("detached", func() bool { return c.state&stateDetached != 0 || h.calls > 0 })
	var turns uint64
	r.do(func() { turns = r.l.stats.Turns })
	r.do(func() {
		// Each do is a turn or two of its own; spinning would be thousands.
		if got := r.l.stats.Turns - turns; got > 10 {
			t.Errorf("%d turns while nothing happens", got)
		}
		c.ResumeRead()
	})
	r.until("OnClose", h.closed)
	if !errors.Is(h.errs[0], unix.ECONNRESET) || h.got.Len() != 5 {
		t.Errorf("%v after %d bytes", h.errs, h.got.Len())
	}
}

// TestEventsOfUnixHangup: both directions end at once; the handler hears of input, end and close,
// in that order.
func TestEventsOfUnixHangup(t *testing.T) {
	var calls []string
	h := &recorder{
		onData: func(*Conn, []byte) { calls = append(calls, "data") },
		onEOF:  func(*Conn) { calls = append(calls, "eof") },
	}
	p, conns := newPump(t, 1, func(int) (Handler, Priority) { return h, PrioritySession })
	p.write(0, []byte("x"))
	unix.Close(p.peers[0])
	p.peers = nil
	for !conns[0].Closed() {
		p.turn()
	}
	if len(calls) != 2 || calls[0] != "data" || calls[1] != "eof" || h.errs[0] != ErrPeerGone {
		t.Errorf("%v, %v", calls, h.errs)
	}
}

// BenchmarkRelay is what the proxy does per command, but for deciding: one command of 40 bytes on
// each of 50 sessions, gathered on one link, and 50 replies. The raw peers' calls are included.
func BenchmarkRelay(b *testing.B) {
	p := newRelay(b, 50)
	cmd := sample(40)
	b.ReportAllocs()
	for i := 0; i < b.N; i += 50 {
		p.round(cmd)
	}
}

// BenchmarkRelayPeersOnly is the part of BenchmarkRelay that is not the loop's.
func BenchmarkRelayPeersOnly(b *testing.B) {
	p := newRelay(b, 50)
	cmd := sample(40)
	fd, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, _ = unix.Write(fd[0], cmd)
		_, _ = io.ReadFull(rawFD(fd[1]), p.buf[:len(cmd)])
	}
	unix.Close(fd[0])
	unix.Close(fd[1])
}

type rawFD int

func (r rawFD) Read(b []byte) (int, error) { return unix.Read(int(r), b) }
