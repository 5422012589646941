package systemd

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstFile is the first descriptor that the service manager passes (SD_LISTEN_FDS_START).
const firstFile = 3

// Listening returns the sockets that the service manager has passed, as sd_listen_fds(3) does: none unless LISTEN_PID
// names this process. It takes them over: programs that this process starts inherit neither them nor the variables. An
// error names a descriptor that is no listening stream socket.
func Listening() ([]Socket, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name) // of a valid name it cannot fail
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS: %q is no number of descriptors", count)
	}
	named := strings.Split(names, ":")
	var out []Socket
	for i := range n {
		s := Socket{File: firstFile + i, Name: "unknown"}
		if names != "" && len(named) == n {
			s.Name = named[i]
		}
		unix.CloseOnExec(s.File)
		if s.Address, err = addressOf(s.File); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS: descriptor %d (%s): %w", s.File, s.Name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// addressOf is the address of a listening stream socket.
func addressOf(file int) (string, error) {
	kind, err := unix.GetsockoptInt(file, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return "", fmt.Errorf("it is no socket: %w", err)
	}
	listens, err := unix.GetsockoptInt(file, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return "", err
	}
	if kind != unix.SOCK_STREAM || listens == 0 {
		return "", fmt.Errorf("it is no listening stream socket: the unit takes ListenStream=, and not Accept=yes")
	}
	sa, err := unix.Getsockname(file)
	if err != nil {
		return "", err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String(), nil
	case *unix.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr)
		if sa.ZoneId != 0 {
			if link, err := net.InterfaceByIndex(int(sa.ZoneId)); err == nil {
				ip = ip.WithZone(link.Name)
			}
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port)).String(), nil
	case *unix.SockaddrUnix:
		return "unix:" + sa.Name, nil
	}
	return "", fmt.Errorf("it is of an unknown family")
}
