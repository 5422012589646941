package proxytest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// echo is a connection to a server that sends back what it receives, under faults.
func echo(t *testing.T, faults *Faults) *FaultConn {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		_, _ = io.Copy(ours, ours)
		ours.Close()
	}()
	conn := faults.Wrap(theirs)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// writeIn sends text in pieces of n bytes.
func writeIn(conn net.Conn, text string, n int) error {
	for i := 0; i < len(text); i += n {
		if _, err := io.WriteString(conn, text[i:min(i+n, len(text))]); err != nil {
			return err
		}
	}
	return nil
}

// roundTrip sends text in pieces of n bytes and reads until it is all back or the connection ends.
func roundTrip(conn net.Conn, text string, n int) (string, error) {
	sent := make(chan error, 1)
	go func() { sent <- writeIn(conn, text, n) }()
	back := make([]byte, len(text))
	got, err := io.ReadFull(conn, back)
	if err == nil {
		err = <-sent
	}
	return string(back[:got]), err
}

func TestCutAtEveryByte(t *testing.T) {
	const text = "abcdefghij"
	for after := range len(text) {
		for piece := 1; piece <= len(text); piece++ {
			for _, dir := range []Direction{Requests, Replies} {
				var faults Faults
				faults.Arm(Fault{Op: Cut, On: dir, After: after})
				conn := echo(t, &faults)
				got, err := roundTrip(conn, text, piece)
				// Of requests that passed, the echo may come too late.
				ok := got == text[:after] || dir == Requests && strings.HasPrefix(text[:after], got)
				if !ok || err == nil || faults.Fired() != 1 {
					t.Errorf("direction %d after %d, pieces of %d: got %q, %v, fired %d",
						dir, after, piece, got, err, faults.Fired())
				}
			}
		}
	}
}

func TestTriggerInPieces(t *testing.T) {
	const text = "one two twothree four"
	for piece := 1; piece <= len(text); piece++ {
		for after := range 5 {
			var faults Faults
			faults.Arm(Fault{Op: Stall, On: Requests, Trigger: "twothree", After: after})
			conn := echo(t, &faults)
			sent := make(chan error, 1)
			go func() { sent <- writeIn(conn, text, piece) }()
			want := text[:strings.Index(text, "twothree")+len("twothree")+after]
			got := make([]byte, len(want))
			if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
				t.Errorf("pieces of %d, after %d: got %q, %v", piece, after, got, err)
			}
			Poll(t, "the stall", func() bool { return faults.Fired() == 1 })
			conn.Close()
			if err := <-sent; err == nil {
				t.Errorf("pieces of %d, after %d: all was sent", piece, after)
			}
		}
	}
}

func TestLastingFaultsLoseNothing(t *testing.T) {
	text := strings.Repeat("0123456789", 20)
	for name, f := range map[string]Fault{
		"split requests": {Op: Split, On: Requests, Size: 3},
		"split replies":  {Op: Split, On: Replies, Size: 1, After: 5},
		"size zero":      {Op: Split, On: Replies},
		"delay":          {Op: Delay, On: Replies, Pause: time.Microsecond},
		"no trigger":     {Op: Cut, On: Replies, Trigger: "never sent"},
	} {
		t.Run(name, func(t *testing.T) {
			var faults Faults
			faults.Arm(f)
			if got, err := roundTrip(echo(t, &faults), text, 7); got != text || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestSplitLimitsEachRead(t *testing.T) {
	var faults Faults
	faults.Arm(Fault{Op: Split, On: Replies, Size: 4})
	conn := echo(t, &faults)
	go func() { _, _ = io.WriteString(conn, "0123456789") }()
	buf, total := make([]byte, 100), 0
	for total < 10 {
		n, err := conn.Read(buf)
		if n > 4 || err != nil {
			t.Fatalf("got %d bytes, %v; want at most 4", n, err)
		}
		total += n
	}
}

func TestStallUntilClear(t *testing.T) {
	var faults Faults
	faults.Arm(Fault{Op: Stall, On: Replies, After: 3})
	conn := echo(t, &faults)
	done := make(chan string)
	go func() {
		got, err := roundTrip(conn, "abcdef", 6)
		done <- fmt.Sprint(got, err)
	}()
	Poll(t, "the stall", func() bool { return faults.Fired() == 1 })
	select {
	case got := <-done:
		t.Fatalf("stalled, yet %s came back", got)
	default:
	}
	faults.Clear()
	if got := <-done; got != "abcdef<nil>" {
		t.Errorf("got %s", got)
	}
}

// ask sends text over a new connection to addr and returns all that comes until the end.
func ask(t *testing.T, addr, text string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(PollTimeout))
	got, err := io.ReadAll(conn)
	return string(got), err
}

func TestFaultProxyCutsReplies(t *testing.T) {
	srv := StartServer(t)
	srv.MustDo("SET", "k", "hello")
	p := StartFaultProxy(t, srv.Addr)
	const reply = "$5\r\nhello\r\n"
	for after := range len(reply) {
		p.Arm(Fault{Op: Cut, On: Replies, Trigger: "get k", After: after})
		got, err := ask(t, p.Addr, "get k\r\nincr n\r\n")
		if got != reply[:after] || err != nil {
			t.Errorf("after %d: got %q, %v; want %q", after, got, err, reply[:after])
		}
	}
	if got := p.Fired(); got != len(reply) {
		t.Errorf("fired %d times, want %d", got, len(reply))
	}
	if got, err := ask(t, p.Addr, "quit\r\n"); got != "+OK\r\n" || err != nil {
		t.Errorf("after the faults: got %q, %v", got, err)
	}
	Poll(t, "all connections to end", func() bool { open, _ := p.Conns(); return open == 0 })
}

func TestFaultProxyCutsRequests(t *testing.T) {
	srv := StartServer(t)
	p := StartFaultProxy(t, srv.Addr)
	const request = "set k v\r\n"
	for after := range len(request) {
		p.Arm(Fault{Op: Cut, On: Requests, After: after})
		if got, err := ask(t, p.Addr, request); got != "" || err != nil {
			t.Errorf("after %d: got %q, %v", after, got, err)
		}
	}
	if got := srv.MustDo("EXISTS", "k"); got != int64(0) {
		t.Errorf("half a request was executed")
	}
	p.Arm(Fault{Op: Cut, On: Requests, After: len(request)})
	if _, err := ask(t, p.Addr, request); err != nil {
		t.Error(err)
	}
	Poll(t, "the whole request to be executed", func() bool {
		return srv.MustDo("EXISTS", "k") == int64(1)
	})
}

func TestFaultProxyResets(t *testing.T) {
	srv := StartServer(t)
	p := StartFaultProxy(t, srv.Addr)
	p.Arm(Fault{Op: Reset, On: Replies, After: 3})
	if got, err := ask(t, p.Addr, "ping\r\n"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
}

func TestFaultProxyRefusesAndAccepts(t *testing.T) {
	srv := StartServer(t)
	p := StartFaultProxy(t, srv.Addr)
	client := NewClient("tcp", p.Addr, "")
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	p.Refuse()
	if err := client.Ping(t.Context()).Err(); err == nil {
		t.Error("an answer from a proxy that refuses")
	}
	if conn, err := net.Dial("tcp", p.Addr); err == nil {
		conn.Close()
		t.Error("a connection to a proxy that refuses")
	}
	p.Accept()
	Poll(t, "an answer", func() bool { return client.Ping(t.Context()).Err() == nil })
	p.CutAll()
	Poll(t, "an answer on another connection", func() bool {
		return client.Ping(t.Context()).Err() == nil
	})
}

func TestFaultProxyToUnixSocket(t *testing.T) {
	srv := Spec{Unix: true}.Start(t)
	p := StartFaultProxy(t, srv.Addr)
	if got, err := ask(t, p.Addr, "ping\r\nquit\r\n"); got != "+PONG\r\n+OK\r\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
