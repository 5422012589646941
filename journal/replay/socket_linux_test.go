package replay

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSendOurselves: a connection to the same machine has a short queue.
func TestSendOurselves(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sendOurselves(nc)
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
		if err != nil || n != unsentBytes {
			t.Errorf("%d bytes may wait, %v; want %d", n, err, unsentBytes)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
