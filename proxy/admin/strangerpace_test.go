package admin

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a listener at which the next client is always there.
type endless struct {
	net.Listener
	accepted atomic.Int64
}

func (e *endless) Accept() (net.Conn, error) {
	e.accepted.Add(1)
	ours, theirs := net.Pipe()
	theirs.Close()
	return ours, nil
}

// Connections that come without an end are accepted at a pace, and a few at once after a rest.
func TestConsoleAcceptsAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Address: "127.0.0.1:0", Password: "s3cret", Logger: quiet()}, &fakeBackend{})
		if err != nil {
			t.Fatal(err)
		}
		e := &endless{}
		l := s.listener(e)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				nc.Close()
			}
		}()
		synctest.Wait()
		if n := e.accepted.Load(); n != strangerBurst {
			t.Errorf("%d connections are accepted at once, want %d", n, strangerBurst)
		}
		time.Sleep(time.Second + strangerEvery/2)
		synctest.Wait()
		if n, most := e.accepted.Load(), int64(strangerBurst+time.Second/strangerEvery); n != most {
			t.Errorf("%d connections are accepted in a second, want %d", n, most)
		}
		s.cancel()
		<-ended
	})
}

// A stranger who sends commands without an end is answered at a pace; a client that has logged in is not
// held up by that.
func TestStrangersAreAnsweredAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Address: "127.0.0.1:0", Password: "s3cret", Logger: quiet()}, &fakeBackend{})
		if err != nil {
			t.Fatal(err)
		}
		nc, _ := net.Pipe()
		stranger, operator := s.newClient(nc, 1), s.newClient(nc, 2)
		operator.authed = true
		begin := time.Now()
		const n = 500
		for range n {
			stranger.answer(t.Context(), []string{"PING"})
		}
		spent := time.Since(begin)
		if want := (n - strangerBurst) * strangerEvery; spent != want {
			t.Errorf("%d commands of a stranger took %v, want %v", n, spent, want)
		}
		for range n {
			operator.answer(t.Context(), []string{"PING"})
		}
		if d := time.Since(begin) - spent; d != 0 {
			t.Errorf("an operator's commands took %v", d)
		}
	})
}
