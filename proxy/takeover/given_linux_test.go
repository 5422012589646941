package takeover

import (
	"net"
	"os"
	"strings"
	"testing"

	"holdfast/proxy/systemd"
)

// given is a socket of the service manager's.
func (s *stage) given(network, address string) systemd.Socket {
	s.t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	unlink(ln, false)
	file, err := duplicate(ln)
	if err != nil {
		s.t.Fatal(err)
	}
	at := ln.Addr().String()
	if network == "unix" {
		at = "unix:" + at
	}
	s.t.Cleanup(func() { ln.Close() })
	return systemd.Socket{File: file, Name: "web", Address: at}
}

// A socket of the service manager's serves its address, also in the process that takes over. The file of a unix socket
// outlives both.
func TestGivenSockets(t *testing.T) {
	s := &stage{t: t, dir: t.TempDir()}
	tcp, unix := s.given("tcp", "127.0.0.1:0"), s.given("unix", s.dir+"/s")
	first := &Sockets{}
	if err := first.Give([]systemd.Socket{unix, tcp}, []string{tcp.Address, "127.0.0.1:0", s.path()}); err != nil {
		t.Fatal(err)
	}
	other := s.listen(first, "127.0.0.1:0")
	s.lns = []net.Listener{s.listen(first, tcp.Address), s.listen(first, s.path())}
	if other.Addr().String() == tcp.Address || s.lns[0].Addr().String() != tcp.Address || Kept(other) || !Kept(s.lns[1]) {
		t.Errorf("served at %v and %v", s.lns[0].Addr(), other.Addr())
	}
	first.Own(quiet())
	s.call("first")
	s.hear(s.lns, "first")

	name := Name(s.dir + "/config")
	s.offer = NewOffer(OfferOptions{Name: name, Sockets: first, Log: quiet()})
	if err := s.offer.Open(); err != nil {
		t.Fatal(err)
	}
	s.name, s.old = name, first
	c := s.claim()
	done := s.taking(c, tcp.Address, s.path())
	<-s.offer.Asked()
	s.offer.Begin(1)
	for _, ln := range append(s.lns, other) {
		ln.Close()
	}
	s.offer.Released()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	lns := []net.Listener{s.listen(c.opts.Sockets, tcp.Address), s.listen(c.opts.Sockets, s.path())}
	if err := c.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.offer.Settle(t.Context())
	s.call("second")
	s.hear(lns, "second")
	for _, ln := range lns {
		ln.Close()
	}
	if !s.hasFile() {
		t.Error("the file of the service manager's socket is gone")
	}
}

// A socket for which no address is left is an error that names both sides.
func TestGivenSocketOfNoAddress(t *testing.T) {
	s := &stage{t: t, dir: t.TempDir()}
	g := s.given("tcp", "127.0.0.1:0")
	defer os.NewFile(uintptr(g.File), "").Close()
	for _, addresses := range [][]string{nil, {"127.0.0.1:1", "unix:/x"}, {g.Address}} {
		err := (&Sockets{}).Give([]systemd.Socket{g, g}, addresses)
		if err == nil || !strings.Contains(err.Error(), g.Address+" (web)") || !strings.Contains(err.Error(), strings.Join(addresses, ", ")) {
			t.Errorf("%q: %v", addresses, err)
		}
	}
}

func TestMeans(t *testing.T) {
	for _, row := range []struct {
		address, socket string
		want            bool
	}{
		{"127.0.0.1:6380", "127.0.0.1:6380", true}, {"127.0.0.1:6380", "127.0.0.1:6381", false},
		{"127.0.0.1:6380", "127.0.0.2:6380", false}, {":6380", "[::]:6380", true}, {":6380", "0.0.0.0:6380", true},
		{"0.0.0.0:6380", "[::]:6380", false}, {"0.0.0.0:6380", "0.0.0.0:6380", true}, {"[::]:6380", "[::]:6380", true},
		{"[0:0::1]:6380", "[::1]:6380", true}, {":6380", "127.0.0.1:6380", false}, {"localhost:6380", "127.0.0.1:6380", true},
		{"localhost:6380", "10.0.0.1:6380", false}, {"127.0.0.1:http", "127.0.0.1:80", true},
		{"unix:/run/a/../s", "unix:/run/s", true}, {"unix:/run/s", "unix:/run/t", false}, {"unix:/run/s", "127.0.0.1:1", false},
		{"127.0.0.1:1", "unix:/run/s", false}, {"127.0.0.1:0", "127.0.0.1:5000", false}, {"[fe80::1%x]:1", "[fe80::1%y]:1", false},
	} {
		if got := means(row.address, row.socket); got != row.want {
			t.Errorf("%s, %s: %v", row.address, row.socket, got)
		}
	}
}
