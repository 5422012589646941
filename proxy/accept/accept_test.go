package accept

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/certs"
	"holdfast/proxy/proxytest"
)

// rig is a listener with what its client needs.
type rig struct {
	t      *testing.T
	ca     *proxytest.Authority
	ln     *Listener
	client *tls.Config

	mu     sync.Mutex
	failed []Outcome // guarded by mu
}

func newRig(t *testing.T, auth certs.ClientAuth, with func(o *Options)) *rig {
	t.Helper()
	r := &rig{t: t, ca: proxytest.NewAuthority(t)}
	set := certs.NewSet(slog.New(slog.DiscardHandler), nil)
	cert, key := r.ca.Issue("server", proxytest.Identity{})
	server, err := set.Server("x", certs.ServerOptions{Cert: cert, Key: key, ClientCA: r.ca.CA,
		ClientAuth: auth})
	must(t, err)
	client, err := set.Client("x", certs.ClientOptions{CA: r.ca.CA})
	must(t, err)
	r.client = client.Config("tcp", "localhost:1")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	o := Options{TLS: server.Config(), Turns: make(chan struct{}, 1),
		Failed: func(_ net.Addr, o Outcome, _ error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.failed = append(r.failed, o)
		}}
	if with != nil {
		with(&o)
	}
	r.ln = Wrap(ln, o)
	t.Cleanup(func() { r.ln.Close() })
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.ln.Addr().String())
	must(r.t, err)
	r.t.Cleanup(func() { nc.Close() })
	must(r.t, nc.SetDeadline(time.Now().Add(proxytest.PollTimeout)))
	return nc
}

// getsIn makes a connection whose handshake succeeds, and has it answered a byte.
func (r *rig) getsIn() {
	r.t.Helper()
	c := tls.Client(r.dial(), r.client)
	must(r.t, c.Handshake())
	nc, err := r.ln.Accept()
	must(r.t, err)
	defer nc.Close()
	if _, err := nc.Write([]byte("x")); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) until(o Outcome, n uint64) {
	r.t.Helper()
	proxytest.Poll(r.t, o.String(), func() bool { return r.ln.Count(o) == n })
}

func TestOutcomes(t *testing.T) {
	other := proxytest.NewAuthority(t)
	shake := func(change func(c *tls.Config)) func(r *rig, nc net.Conn) {
		return func(r *rig, nc net.Conn) {
			config := r.client.Clone()
			if change != nil {
				change(config)
			}
			c := tls.Client(nc, config)
			if c.Handshake() == nil {
				_, _ = c.Read(make([]byte, 1)) // a refusal comes behind the handshake
			}
		}
	}
	for _, tt := range []struct {
		want   Outcome
		auth   certs.ClientAuth
		attack func(r *rig, nc net.Conn)
	}{
		{Plain, "", func(r *rig, nc net.Conn) { mustWrite(r.t, nc, "*1\r\n$4\r\nPING\r\n") }},
		{Plain, "", func(r *rig, nc net.Conn) { mustWrite(r.t, nc, "PROXY TCP4 1.2.3.4\r\n") }},
		{Client, certs.ClientAuthRequire, shake(nil)},
		{Client, certs.ClientAuthRequire, shake(func(c *tls.Config) {
			cert, key := other.PEM(proxytest.Identity{Name: "app"})
			pair, err := tls.X509KeyPair(cert, key)
			must(t, err)
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &pair, nil // also where the server does not ask for its authority
			}
		})},
		{Refused, "", shake(func(c *tls.Config) { c.ServerName = "example.com" })},
		{Refused, "", shake(func(c *tls.Config) { c.RootCAs = nil })},
		{Versions, "", shake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{Left, "", func(_ *rig, nc net.Conn) { nc.Close() }},
		{Left, "", func(r *rig, nc net.Conn) {
			mustWrite(r.t, nc, "\x16\x03\x01\x02\x00\x01")
			nc.Close()
		}},
		{Broken, "", func(r *rig, nc net.Conn) {
			mustWrite(r.t, nc, "\x16\x03\x01\x00\x04\x01\x00\x00\x00")
		}},
	} {
		r := newRig(t, tt.auth, nil)
		tt.attack(r, r.dial())
		proxytest.Poll(t, tt.want.String(), func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.failed) > 0 && r.failed[0] != tt.want {
				t.Fatalf("got %v, want %v", r.failed[0], tt.want)
			}
			return len(r.failed) == 1
		})
		if r.ln.Count(tt.want) != 1 || r.ln.Count(OK) != 0 || tt.want.Explain() == "" {
			t.Errorf("%v: %d counted", tt.want, r.ln.Count(tt.want))
		}
	}
}

func mustWrite(t *testing.T, nc net.Conn, text string) {
	t.Helper()
	if _, err := nc.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// Handshakes that never end fill the room many times over, and clients get in all the same.
func TestHandshakesThatNeverEnd(t *testing.T) {
	r := newRig(t, "", func(o *Options) {
		o.Room, o.Time, o.Patience = 8, time.Hour, time.Millisecond
	})
	const rounds = 5
	for range rounds {
		for range 4 {
			r.dial()
			mustWrite(t, r.dial(), "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		}
		r.getsIn()
	}
	if n := r.ln.Count(OK); n != rounds {
		t.Errorf("%d got in", n)
	}
	if n := r.ln.Count(Crowded); n < 8*(rounds-1) {
		t.Errorf("%d were broken off", n)
	}
}

// A crowd that comes at once, in a room that is too small for it, waits and gets in.
func TestCrowd(t *testing.T) {
	r := newRig(t, "", func(o *Options) { o.Room, o.Patience = 2, time.Hour })
	const n = 20
	var all sync.WaitGroup
	for range n {
		nc := r.dial()
		all.Go(func() {
			c := tls.Client(nc, r.client)
			if err := c.Handshake(); err != nil {
				t.Error(err)
				return
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	r.until(OK, 2) // which wait for the loops
	for range n {
		nc, err := r.ln.Accept()
		must(t, err)
		_, err = nc.Write([]byte("x"))
		must(t, err)
	}
	all.Wait()
}

func TestHandshakeTakesTooLong(t *testing.T) {
	r := newRig(t, "", func(o *Options) { o.Time = 20 * time.Millisecond })
	nc := r.dial()
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v", err)
	}
	r.until(Slow, 1)
}

func TestCloseEndsEverything(t *testing.T) {
	r := newRig(t, "", func(o *Options) { o.Time = time.Hour })
	hanging := r.dial()
	mustWrite(t, hanging, "\x16")
	ready := tls.Client(r.dial(), r.client)
	must(t, ready.Handshake())
	r.until(OK, 1)
	must(t, r.ln.Close())
	if _, err := r.ln.Accept(); err != net.ErrClosed {
		t.Errorf("Accept: %v", err)
	}
	for _, nc := range []net.Conn{hanging, ready} {
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Error("a connection is open")
		}
	}
	if len(r.failed) > 0 {
		t.Errorf("the end is reported as %v", r.failed)
	}
}

// A retired listener accepts no more, and ends no handshake.
func TestRetire(t *testing.T) {
	r := newRig(t, certs.ClientAuthNone, nil)
	c := tls.Client(r.dial(), r.client)
	proxytest.Poll(t, "the connection is accepted", func() bool {
		r.ln.mu.Lock()
		defer r.ln.mu.Unlock()
		return len(r.ln.shaking) == 1
	})
	must(t, r.ln.Retire())
	if nc, err := net.Dial("tcp", r.ln.Addr().String()); err == nil {
		nc.Close()
		t.Error("it still listens")
	}
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	nc, err := r.ln.Accept()
	must(t, err)
	must(t, <-done)
	nc.Close()
	if _, err := r.ln.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("behind the last connection: %v", err)
	}
}
