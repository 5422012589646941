package upstream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// nameServer answers A queries with the addresses of the moment, in memory.
type nameServer struct {
	mu        sync.Mutex
	addresses [][4]byte
	queries   int
}

func (n *nameServer) set(addresses ...[4]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = addresses
}

func (n *nameServer) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queries
}

// resolver returns a resolver that asks only n.
func (n *nameServer) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go n.serve(ours)
			return theirs, nil
		},
	}
}

// serve answers queries framed as on TCP, which net.Resolver uses on any conn that is no
// packet conn, until the resolver hangs up.
func (n *nameServer) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer, err := n.answer(query)
		if err != nil {
			return
		}
		framed := binary.BigEndian.AppendUint16(nil, uint16(len(answer)))
		if _, err := conn.Write(append(framed, answer...)); err != nil {
			return
		}
	}
}

func (n *nameServer) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queries++
	for _, a := range n.addresses {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3600},
				Body:   &dnsmessage.AResource{A: a},
			})
		}
	}
	return m.Pack()
}

func TestNameIsLookedUpAtEveryDial(t *testing.T) {
	here := [4]byte{127, 0, 0, 1}
	nowhere := [4]byte{127, 0, 0, 9} // loopback too, but nothing listens there
	srv := proxytest.StartServer(t)
	names := &nameServer{}
	names.set(here)
	opts := testOptions(t, net.JoinHostPort("server.holdfast.test.", strconv.Itoa(srv.Port)))
	opts.Resolver = names.resolver()
	u, _ := watch(t, opts)
	await(t, u, "up", isUp)

	names.set(nowhere)
	if conn, err := u.Dial(t.Context()); err == nil {
		conn.Close()
		t.Error("dialed the address of a minute ago")
	}
	names.set(nowhere, here)
	conn, err := u.Dial(t.Context())
	if err != nil {
		t.Fatalf("with the first of two addresses dead: %v", err)
	}
	conn.Close()

	names.set(nowhere)
	srv.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	await(t, u, "down when the name leads nowhere", isDown)
	asked := names.asked()
	names.set(here)
	await(t, u, "up when it leads back", isUp)
	if names.asked() == asked {
		t.Error("up again without a look-up")
	}
}

func TestDialErrors(t *testing.T) {
	free, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		net.JoinHostPort("127.0.0.1", strconv.Itoa(free)), "no-port", "", "unix:", "unix:/no/such",
		"127.0.0.1:notaport", "[::1", "127.0.0.1:70000",
	} {
		u := New(Options{Address: address, ConnectTimeout: 5 * time.Second})
		if conn, err := u.Dial(t.Context()); err == nil {
			conn.Close()
			t.Errorf("%q: no error", address)
		}
		if info, err := u.Probe(t.Context()); err == nil || info.Up {
			t.Errorf("%q: Probe: got up %v, error %v", address, info.Up, err)
		}
		u.Stop()
	}
}

func TestDialIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0") // a machine without IPv6
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u := New(Options{Address: l.Addr().String()})
	defer u.Stop()
	conn, err := u.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestDialHeedsItsContext(t *testing.T) {
	u := New(Options{Address: "127.0.0.1:1"})
	defer u.Stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := u.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// A black hole accepts, because the kernel does, and never answers.
func TestBlackHole(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	opts := testOptions(t, l.Addr().String())
	opts.ConnectTimeout = 300 * time.Millisecond
	u := New(opts)
	defer u.Stop()
	info, err := u.Probe(t.Context())
	if info.Up || !timedOut(err) {
		t.Errorf("got up %v, error %v; want a timeout", info.Up, err)
	}
	conn, err := u.Dial(t.Context())
	if err != nil {
		t.Fatalf("Dial speaks no RESP, so it should succeed: %v", err)
	}
	conn.Close()
}
