package replay

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentBytes bounds the bytes that wait in our socket for a target on the same machine.
const unsentBytes = 16 << 10

// sendOurselves keeps the work of sending out of the target's time, if it is on the same machine.
// Bytes in a socket's queue are sent when the other side makes room, within its own system call:
// the target reads, and pays for our next segment. With next to nothing waiting, it wakes us
// instead. Interleaved, that took 3 % of the server's processor time off a restore. Across a
// network a short queue gains nothing and could run dry.
func sendOurselves(nc net.Conn) {
	c, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	local, ok := c.LocalAddr().(*net.TCPAddr)
	remote, ok2 := c.RemoteAddr().(*net.TCPAddr)
	if !ok || !ok2 || !local.IP.Equal(remote.IP) {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return // closed already, as the next read will show
	}
	_ = raw.Control(func(fd uintptr) { // without it everything works, a little slower
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}
