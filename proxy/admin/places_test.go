package admin

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Hundreds of silent connections keep no operator out, with a password or without.
func TestStrangersDoNotLockOperatorsOut(t *testing.T) {
	for _, password := range []string{"s3cret", ""} {
		s := start(t, Options{Password: password, MaxClients: 8}, &fakeBackend{})
		login := []string{"PING", "+PONG\r\n"}
		if password != "" {
			login = append([]string{"AUTH s3cret", "+OK\r\n"}, login...)
		}
		before := dial(t, s)
		before.expect(login...)
		for range 300 {
			nc, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
		}
		dial(t, s).expect(login...)
		before.expect("PING", "+PONG\r\n")
		s.places.mu.Lock()
		if n := len(s.places.list); n > 8+2 {
			t.Errorf("%d connections are kept", n)
		}
		s.places.mu.Unlock()
	}
}

func TestWhoMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(4)
		p.strangers = 3
		open := func(host string) *framedConn {
			ours, _ := net.Pipe()
			t.Cleanup(func() { ours.Close() })
			c := &framedConn{Conn: ours, host: host, places: p}
			p.enter(c)
			time.Sleep(time.Second)
			return c
		}
		here := func(c *framedConn) bool { return p.count(func(o *framedConn) bool { return o == c }) == 1 }
		operator, first, second := open("b"), open("a"), open("a")
		third := open("a")
		if !here(operator) || here(first) || !here(second) || !here(third) {
			t.Error("not the oldest of the crowding address made room")
		}
		if end := p.deadline(second, time.Now().Add(time.Hour)); end.Sub(second.used) != strangerTime {
			t.Errorf("a stranger has %v", end.Sub(second.used))
		}
		far := time.Now().Add(time.Hour)
		if !p.recognize(operator) || p.deadline(operator, far) != far {
			t.Error("a known client has a stranger's time")
		}
		for range 3 {
			if !p.recognize(open("a")) {
				t.Fatal("there is a place")
			}
		}
		late := open("a")
		if p.recognize(late) {
			t.Error("there are more known clients than places")
		}
		time.Sleep(knownIdle)
		if !p.recognize(late) || here(operator) {
			t.Error("the client that was idle for longest did not make room")
		}
	})
}

// A hundred connections of one address that do not wait for their answers try few passwords, and hold
// up no other address.
func TestWrongPasswordsAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Attempts
		var tried atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				for ctx.Err() == nil {
					_, err := a.Check(ctx, "evil", func() bool { tried.Add(1); return false })
					if errors.Is(err, errTooManyAttempts) {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		time.Sleep(time.Minute)
		began := time.Now()
		for range 10 {
			if ok, err := a.Check(ctx, "good", func() bool { return true }); !ok || err != nil {
				t.Errorf("another address: %v, %v", ok, err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("another address waits for %v", time.Since(began))
		}
		if ok, _ := a.Check(ctx, "typo", func() bool { return false }); ok || time.Since(began) != wrongDelay {
			t.Errorf("the first wrong one takes %v", time.Since(began))
		}
		if ok, _ := a.Check(ctx, "typo", func() bool { return true }); !ok || time.Since(began) > 2*wrongDelay {
			t.Errorf("the right one after it takes %v", time.Since(began))
		}
		stop()
		all.Wait()
		if n := tried.Load(); n > 170 { // a hundred at once before the first was wrong, then one a second
			t.Errorf("%d passwords were tried in a minute", n)
		}
		time.Sleep(wrongForgotten + time.Second)
		if wait, _, err := a.turn("evil"); wait > 0 || err != nil {
			t.Errorf("it is remembered: %v, %v", wait, err)
		}
	})
}
