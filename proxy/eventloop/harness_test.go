package eventloop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// patienceInTests bounds every wait for something that has to happen.
const patienceInTests = time.Minute

// rig is a running loop with helpers to look into it.
type rig struct {
	testing.TB
	l       *Loop
	bridged bool // hide descriptors, so that the epoll loop has to bridge
	secure  bool // connections are TLS
	ended   chan error
	stop    sync.Once
}

// eachDriver runs f on every driver of this system, plain and by TLS, and on connections that an
// epoll loop bridges.
func eachDriver(t *testing.T, f func(t *testing.T, r *rig)) {
	run := func(name, driver string, secure bool) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{Driver: driver})
			r.secure = secure
			f(t, r)
		})
	}
	run(driverPortable, driverPortable, false)
	run(driverPortable+" TLS", driverPortable, true)
	if bestDriver == driverPortable {
		return
	}
	run(bestDriver, "", false)
	run(bestDriver+" TLS", "", true)
	t.Run("bridged", func(t *testing.T) {
		r := newRig(t, Options{})
		r.bridged = true
		f(t, r)
	})
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, l: l, ended: make(chan error, 1)}
	go r.run()
	t.Cleanup(r.end)
	return r
}

// run is the loop's goroutine; end joins it.
func (r *rig) run() { r.ended <- r.l.Run() }

// end stops the loop and waits for it.
func (r *rig) end() {
	r.stop.Do(func() {
		r.l.Stop()
		select {
		case err := <-r.ended:
			if err != nil {
				r.Errorf("Run: %v", err)
			}
		case <-time.After(patienceInTests):
			r.Errorf("the loop does not end\n%s", stacks())
		}
	})
}

func stacks() []byte {
	buf := make([]byte, 1<<20)
	return buf[:runtime.Stack(buf, true)]
}

// do runs f on the loop and waits for it.
func (r *rig) do(f func()) {
	r.Helper()
	done := make(chan struct{})
	if !r.l.Post(func() { defer close(done); f() }) {
		r.Fatal("Post: the loop has stopped")
	}
	select {
	case <-done:
	case <-time.After(patienceInTests):
		r.Fatalf("the loop is stuck\n%s", stacks())
	}
}

// until polls a condition on the loop.
func (r *rig) until(what string, cond func() bool) {
	r.Helper()
	eventually(r, what, func() (ok bool) {
		r.do(func() { ok = cond() })
		return ok
	})
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patienceInTests); ; time.Sleep(time.Millisecond) {
		if cond() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s\n%s", what, stacks())
		}
	}
}

// opaque hides that a connection has a descriptor, as TLS does.
type opaque struct{ net.Conn }

func (o opaque) CloseWrite() error { return o.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// peer is the other end of a connection.
type peer interface {
	net.Conn
	CloseWrite() error
}

// pair adds one end of a connection to the loop and returns both.
func (r *rig) pair(h Handler, pri Priority) (*Conn, peer) {
	r.Helper()
	ours, theirs := tcpPair(r)
	if r.secure {
		s, c := shaken(r, ours, theirs, tls.VersionTLS13)
		return r.add(s, h, pri), c
	}
	return r.add(ours, h, pri), theirs
}

// testConfigs are the two sides of TLS in the tests of this package.
var testConfigs = sync.OnceValues(func() (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{
		Certificates:                []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		DynamicRecordSizingDisabled: true,
	}
	return server, &tls.Config{RootCAs: roots, ServerName: "test"}
})

// shaken is a TLS connection over a pair of others, in at most the given version.
func shaken(t testing.TB, ours, theirs net.Conn, version uint16) (*Secure, *tls.Conn) {
	t.Helper()
	server, client := testConfigs()
	client = client.Clone()
	client.MaxVersion = version
	s, c := Server(ours, server), tls.Client(theirs, client)
	var wg sync.WaitGroup
	wg.Go(func() { mustNot(t, s.Shake(t.Context(), make(chan struct{}, 1))) })
	mustNot(t, c.Handshake())
	wg.Wait()
	return s, c
}

func (r *rig) add(nc net.Conn, h Handler, pri Priority) (c *Conn) {
	r.Helper()
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		if r.bridged {
			nc = opaque{nc}
		}
	}
	var err error
	r.do(func() { c, err = r.l.Add(nc, h, pri) })
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func tcpPair(t testing.TB) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	if err := dialled.SetDeadline(time.Now().Add(patienceInTests)); err != nil {
		t.Fatal(err)
	}
	ours, theirs = accepted.(*net.TCPConn), dialled.(*net.TCPConn)
	// Little memory in the kernel, so that a megabyte is more than it takes.
	if err := errors.Join(ours.SetWriteBuffer(64<<10), theirs.SetReadBuffer(64<<10)); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// recorder notes what a handler is told. Its fields belong to the loop.
type recorder struct {
	got    bytes.Buffer
	calls  int // of OnData
	eofs   int
	drains int
	errs   []error

	onData  func(c *Conn, p []byte)
	onEOF   func(c *Conn)
	onDrain func(c *Conn)
}

func (r *recorder) OnData(c *Conn, p []byte) {
	r.calls++
	r.got.Write(p)
	if r.onData != nil {
		r.onData(c, p)
	}
}

func (r *recorder) OnEOF(c *Conn) {
	r.eofs++
	if r.onEOF != nil {
		r.onEOF(c)
	}
}

func (r *recorder) OnClose(_ *Conn, err error) { r.errs = append(r.errs, err) }

func (r *recorder) OnDrain(c *Conn) {
	r.drains++
	if r.onDrain != nil {
		r.onDrain(c)
	}
}

// closed says whether OnClose was called, once.
func (r *recorder) closed() bool { return len(r.errs) == 1 }

// echo answers with what it reads, and closes when the peer does.
func echo() *recorder {
	return &recorder{
		onData: func(c *Conn, p []byte) { c.Write(p) },
		onEOF:  func(c *Conn) { c.CloseAfterFlush(patienceInTests) },
	}
}

// sample returns n bytes in which every position is recognizable.
func sample(n int) []byte {
	b := make([]byte, 0, n+4)
	for len(b) < n {
		b = binary.BigEndian.AppendUint32(b, uint32(len(b)))
	}
	return b[:n]
}

func mustWrite(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

// send writes p and shuts the sending side, on a goroutine that the cleanup joins.
func send(t testing.TB, nc interface {
	io.Writer
	CloseWrite() error
}, p []byte) {
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() {
		if _, err := nc.Write(p); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("send: %v", err)
		}
		_ = nc.CloseWrite() // the test may have closed it
	})
}

func mustEqual(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Fatalf("%s: got %d bytes, want %d; they differ at %d", what, len(got), len(want), i)
}

func mustReadAll(t testing.TB, nc net.Conn) []byte {
	t.Helper()
	got, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(got), err)
	}
	return got
}
