package eventloop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"
)

// TestTLS: sessions and links over TLS, on every driver; the end is a close_notify both ways.
func TestTLS(t *testing.T) {
	server, client := tlsConfigs(t)
	eachDriver(t, func(t *testing.T, r *rig) {
		r.bridged = false // a tls.Conn is bridged for what it is
		ours, theirs := tcpPair(t)
		h := echo()
		c := r.add(tls.Server(ours, server), h, PrioritySession)
		nc := tls.Client(theirs, client)
		want := sample(300_000)
		send(t, nc, want)
		mustEqual(t, "echo", mustReadAll(t, nc), want)
		nc.Close()
		r.until("closed", c.Closed)
		if h.eofs != 1 || len(h.errs) != 0 {
			t.Errorf("%d ends, errors %v", h.eofs, h.errs)
		}
	})
}

// TestTLSBreaks: a stream that ends within a record is an error, not an end. One that ends between
// two, without close_notify, crypto/tls takes for an end; frames tell whether it is complete.
func TestTLSBreaks(t *testing.T) {
	server, client := tlsConfigs(t)
	eachDriver(t, func(t *testing.T, r *rig) {
		r.bridged = false
		ours, theirs := tcpPair(t)
		h := echo()
		r.add(tls.Server(ours, server), h, PrioritySession)
		nc := tls.Client(theirs, client)
		mustWrite(t, nc, []byte("hello"))
		mustNot(t, second(io.ReadFull(nc, make([]byte, 5))))
		mustWrite(t, theirs, []byte{23, 3, 3, 0, 100, 1, 2, 3}) // 3 bytes of a record of 100
		mustNot(t, theirs.CloseWrite())
		r.until("OnClose", h.closed)
		if h.eofs != 0 {
			t.Error("OnEOF of a truncated stream")
		}
	})
}

// TestCloseDuringHandshake: closing does not wait for a peer that never answers.
func TestCloseDuringHandshake(t *testing.T) {
	server, _ := tlsConfigs(t)
	eachDriver(t, func(t *testing.T, r *rig) {
		r.bridged = false
		ours, theirs := tcpPair(t)
		c := r.add(tls.Server(ours, server), &recorder{}, PrioritySession)
		r.do(func() {
			c.Write([]byte("x"))
			c.Close()
		})
		_, _ = io.Copy(io.Discard, theirs)
		r.end()
	})
}

// TestBridgeWithoutCloseWrite: a connection that cannot be half closed is closed.
func TestBridgeWithoutCloseWrite(t *testing.T) {
	r := newRig(t, Options{})
	ours, theirs := net.Pipe()
	c := r.add(ours, &recorder{}, PrioritySession)
	r.do(func() {
		c.Write([]byte("last"))
		c.CloseAfterFlush(patienceInTests)
	})
	if got := string(mustReadAll(t, theirs)); got != "last" {
		t.Errorf("got %q", got)
	}
	r.until("closed", c.Closed)
}

func tlsConfigs(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"test"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "test"}
}
