package eventloop

import (
	"net"
	"path/filepath"
	"testing"
)

func TestAddrString(t *testing.T) {
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{nil, ""},
		{&net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 6379}, "10.1.2.3:6379"},
		{&net.TCPAddr{IP: net.ParseIP("::1"), Port: 6379}, "[::1]:6379"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:10.1.2.3"), Port: 1}, "10.1.2.3:1"},
		{&net.UnixAddr{Name: "/run/s.sock", Net: "unix"}, "/run/s.sock:0"},
		{&net.UnixAddr{Name: "@", Net: "unix"}, ""},
		{&net.UnixAddr{}, ""},
		{(*net.UnixAddr)(nil), ""},
	} {
		if got := addrString(tt.addr); got != tt.want {
			t.Errorf("%#v: got %q, want %q", tt.addr, got, tt.want)
		}
	}
}

func TestConnAddrs(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		c, nc := r.pair(&recorder{}, PrioritySession)
		local, remote := nc.RemoteAddr().String(), nc.LocalAddr().String()
		if c.LocalAddr() != local || c.RemoteAddr() != remote {
			t.Errorf("got %s %s, want %s %s", c.LocalAddr(), c.RemoteAddr(), local, remote)
		}
	})
}

// TestUnixConnAddrs: both ends are named after the socket, as CLIENT LIST does.
func TestUnixConnAddrs(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		path := filepath.Join(t.TempDir(), "s")
		ours, theirs := unixPair(t, path)
		for _, c := range []*Conn{
			r.add(ours, echo(), PrioritySession),
			r.add(theirs, &recorder{}, PriorityLink),
		} {
			if want := path + ":0"; c.RemoteAddr() != want || c.LocalAddr() != want {
				t.Errorf("got %q %q, want %q", c.RemoteAddr(), c.LocalAddr(), want)
			}
			r.do(func() { mustNot(t, c.SetKeepAlive(1)) })
		}
	})
}

// TestUnixEcho: a unix peer that closes hangs up at once, in both directions.
func TestUnixEcho(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *rig) {
		ours, theirs := unixPair(t, filepath.Join(t.TempDir(), "s"))
		h := &recorder{onData: func(c *Conn, p []byte) { c.Write(p) }}
		c := r.add(ours, h, PrioritySession)
		buf := make([]byte, 5)
		mustWrite(t, theirs, []byte("hello"))
		mustNot(t, second(theirs.Read(buf)))
		mustWrite(t, theirs, []byte("bye"))
		theirs.Close()
		r.until("end of input", func() bool { return h.eofs == 1 || h.closed() })
		r.until("OnClose", func() bool { c.Write([]byte("x")); return h.closed() })
		if h.got.String() != "hellobye" {
			t.Errorf("got %q", &h.got)
		}
	})
}

func unixPair(t *testing.T, path string) (ours, theirs net.Conn) {
	ln, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if theirs, err = net.Dial("unix", path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	if ours, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}
