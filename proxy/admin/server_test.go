package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

func TestAddresses(t *testing.T) {
	for _, row := range []struct {
		address, password string
		want              error
	}{
		{"127.0.0.1:0", "", nil},
		{"127.8.9.10:0", "", nil},
		{"localhost:0", "", nil},
		{"[::1]:0", "", nil},
		{"unix:/run/x.sock", "", nil},
		{"0.0.0.0:0", "", ErrNoPassword},
		{":0", "", ErrNoPassword},
		{"[::]:0", "", ErrNoPassword},
		{"10.1.2.3:0", "", ErrNoPassword},
		{"some.host:0", "", ErrNoPassword},
		{"0.0.0.0:0", "secret", nil},
		{"", "", ErrAddress},
		{"6390", "", ErrAddress},
		{"unix:", "", ErrAddress},
	} {
		if _, err := New(Options{Address: row.address, Password: row.password}, nil); !errors.Is(
			err, row.want) {
			t.Errorf("%q with password %q: %v, want %v", row.address, row.password, err, row.want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	first := start(t, Options{}, &fakeBackend{})
	second, err := New(Options{Address: first.Addr().String(), Logger: quiet()}, &fakeBackend{})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); !errors.Is(err, ErrListen) ||
		!strings.Contains(err.Error(), first.Addr().String()) {
		t.Errorf("got %v, want an ErrListen that names the address", err)
	}
	if err := second.Stop(context.Background()); err != nil {
		t.Errorf("Stop of a server that never started: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	s := start(t, Options{Address: "unix:" + path}, &fakeBackend{})
	dial(t, s).expect("PING", "+PONG\r\n")
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", fi.Mode(), err)
	}
	second, err := New(Options{Address: "unix:" + path, Logger: quiet()}, &fakeBackend{})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); !errors.Is(err, ErrListen) {
		t.Errorf("a socket that is in use: %v, want ErrListen", err)
	}
	dial(t, s).expect("PING", "+PONG\r\n")
}

// A process that was killed leaves its socket file behind; the next one must start.
func TestAbandonedUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	dial(t, start(t, Options{Address: "unix:" + path}, &fakeBackend{})).expect("PING", "+PONG\r\n")
}

func TestTooManyClients(t *testing.T) {
	s := start(t, Options{MaxClients: 3}, &fakeBackend{})
	var kept []*console
	for range 3 {
		c := dial(t, s)
		c.expect("PING", "+PONG\r\n")
		kept = append(kept, c)
	}
	for range 5 {
		c := dial(t, s)
		c.send("PING\r\n")
		if got := c.rest(); got != "-ERR max number of clients reached\r\n" {
			t.Errorf("got %q", got)
		}
	}
	kept[0].expect("QUIT", "+OK\r\n")
	if got := kept[0].rest(); got != "" {
		t.Errorf("after QUIT: %q", got)
	}
	waitFor(t, "a place", func() bool {
		// Refused, it may be reset at any point.
		c := dial(t, s)
		_, err := io.WriteString(c.Conn, "PING\r\n")
		line, _ := c.in.ReadString('\n')
		return err == nil && line == "+PONG\r\n"
	})
	kept[1].expect("PING", "+PONG\r\n")
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

// Also a client that has sent half a frame is idle.
func TestIdleClientIsClosed(t *testing.T) {
	s := start(t, Options{IdleTimeout: 20 * time.Millisecond}, &fakeBackend{})
	for _, half := range []string{"", "*2\r\n$4\r\nPI"} {
		c := dial(t, s)
		c.send(half)
		if got := c.rest(); got != "" {
			t.Errorf("after %q: got %q", half, got)
		}
	}
}

func TestStopClosesClients(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{})
	c := dial(t, s)
	c.expect("PING", "+PONG\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("the client is still served")
	}
	if nc, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = nc.Close()
		t.Error("the listener is still open")
	}
}

// A backend that does not answer is let go by Stop.
func TestStopEndsCommands(t *testing.T) {
	s := start(t, Options{}, &fakeBackend{hang: true})
	c := dial(t, s)
	c.send("SHOW STATS\r\nPING\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestPanicCostsOneReply(t *testing.T) {
	var log proxytest.Log
	s := start(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		&fakeBackend{panics: true})
	dial(t, s).expect(
		"SHOW STATS", "-"+string(errInternal)+"\r\n",
		"PING", "+PONG\r\n")
	if !strings.Contains(log.String(), "fakeBackend") {
		t.Errorf("the log has no stack: %s", log.String())
	}
}

// A web page can make a browser send this to loopback.
func TestBrowserCannotGiveCommands(t *testing.T) {
	b := &fakeBackend{}
	s := start(t, Options{}, b)
	for name, in := range map[string]string{
		"post": "POST / HTTP/1.1\r\nHost: x\r\n\r\nDRAIN\r\n",
		"get":  "GET /?x HTTP/1.1\r\nhost: x\r\n\r\nDRAIN\r\n",
		"put":  "PUT / HTTP/1.1\r\nContent-Length: 7\r\nHost: x\r\n\r\nDRAIN\r\n",
	} {
		c := dial(t, s)
		c.send(in)
		got, err := io.ReadAll(c.in)
		// The close may be a reset, because the rest of the request was not read.
		if strings.Contains(string(got), "+OK") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drains != 0 {
		t.Errorf("DRAIN was carried out %d times", b.drains)
	}
}

// flaky fails to accept twice, then serves.
type flaky struct {
	net.Listener
	failures int
}

func (l *flaky) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsAreSurvived(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, err := New(Options{Address: "127.0.0.1:0", Logger: quiet()}, &fakeBackend{})
	if err != nil {
		t.Fatal(err)
	}
	l := s.listener(&flaky{ln, 2})
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.cancel()
	l = s.listener(&flaky{ln, 1})
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("while stopping: %v, want net.ErrClosed", err)
	}
}

// A mistyped path must not cost anyone a file.
func TestUnixSocketPathThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Address: "unix:" + path, Logger: quiet()}, &fakeBackend{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); !errors.Is(err, ErrListen) {
		t.Errorf("Start: %v, want ErrListen", err)
	}
	if got, err := os.ReadFile(path); string(got) != "data" {
		t.Errorf("the file is %q, %v", got, err)
	}
}
