package eventloop

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestAcceptorSharesEvenly(t *testing.T) {
	const each = 5
	rigs := []*rig{newRig(t, Options{}), newRig(t, Options{Driver: driverPortable})}
	rigs = append(rigs, newRig(t, Options{}))
	var loops []*Loop
	for _, r := range rigs {
		loops = append(loops, r.l)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := Accept(ln, loops, addEcho(t), nil)
	for range each * len(rigs) {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	for _, r := range rigs {
		r.until("its share", func() bool { return r.l.Conns() == each })
	}
	a.Stop()
	a.Stop()
	a.Wait()
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

// addEcho answers what comes; a connection may be accepted just before the test and its loop end.
func addEcho(t *testing.T) func(l *Loop, nc net.Conn) {
	return func(l *Loop, nc net.Conn) {
		_, err := l.Add(nc, echo(), PrioritySession)
		if err != nil && !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	}
}

// A flood of connections takes a bounded part of each turn of the loop.
func TestAcceptorHandsOverBoundedly(t *testing.T) {
	r := newRig(t, Options{})
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	r.l.Post(func() { <-release })
	perTurn := map[uint64]int{} // the loop's
	echo := addEcho(t)
	a := Accept(ln, []*Loop{r.l}, func(l *Loop, nc net.Conn) {
		perTurn[l.Stats().Turns]++
		echo(l, nc)
	}, nil)
	const all = 10 * maxHanded
	for range all {
		nc, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	eventually(t, "as many as may be are on the way", func() bool {
		return len(a.room[0]) == maxHanded
	})
	close(release)
	r.until("all connections", func() bool { return r.l.Conns() == all })
	r.do(func() {
		for turn, n := range perTurn {
			if n > maxHanded {
				t.Errorf("%d connections in turn %d, more than %d", n, turn, maxHanded)
			}
		}
	})
	a.Stop()
	a.Wait()
}

// flaky is a listener that fails a few times before each connection.
type flaky struct {
	net.Listener
	left atomic.Int32
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return f.Listener.Accept()
}

func TestAcceptorOutlivesErrors(t *testing.T) {
	r := newRig(t, Options{})
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{Listener: ln}
	f.left.Store(3)
	a := Accept(f, []*Loop{r.l}, addEcho(t), slog.New(slog.DiscardHandler))
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r.until("accepted", func() bool { return r.l.Conns() == 1 })
	// Stop does not wait for the pause to pass.
	f.left.Store(1 << 30)
	if nc2, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		defer nc2.Close()
	}
	a.Stop()
	a.Wait()
}

func TestAcceptorClosesWhatNoLoopTakes(t *testing.T) {
	r := newRig(t, Options{})
	r.end()
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := Accept(ln, []*Loop{r.l}, addEcho(t), nil)
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if got := mustReadAll(t, nc); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	a.Stop()
	a.Wait()
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("while somebody listens: %v", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // as a process that is killed
	ln.Close()
	if ln, err = Listen("unix:" + path); err != nil {
		t.Fatal(err)
	}
	ln.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("listens at a file that is no socket")
	}
	if got, err := os.ReadFile(path); string(got) != "precious" {
		t.Errorf("the file is gone: %v", err)
	}
}
