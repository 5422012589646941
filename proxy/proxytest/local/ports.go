package local

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// Ports for servers lie below the kernel's range for outgoing connections, so that none of these
// takes the port of a server that is down. Packages are tested at the same time, so each process has
// a range of its own, which it holds by a lock on a file: else one could take a port between the
// other's choice and its use, or while the other restarts a server.
const (
	firstPort  = 20_000
	portRange  = 2_000
	portRanges = 6
)

// FreePort returns a loopback port without a listener. A long run uses its range again, the port that was given longest ago
// first: a younger one may be that of a server that is down, and that others try to reach.
func FreePort() (int, error) {
	first, _ := ownPorts()
	var last error
	for range portRange {
		port := first + portOrder()[(portsGiven.Add(1)-1)%portRange]
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

// portOrder is the order in which this process takes the ports of its range, and portsGiven is how many it took.
var (
	portOrder  = sync.OnceValue(func() []int { return rand.Perm(portRange) })
	portsGiven atomic.Uint64
)

// ownPorts returns the first port of this process's range, and the file that is locked for as long as
// the process lives. Where more processes run than there are ranges, some share one.
var ownPorts = sync.OnceValues(func() (first int, lock *os.File) {
	for n := range portRanges {
		lock = lockedFile(filepath.Join(os.TempDir(), fmt.Sprint("holdfast-test-ports-", n)))
		if lock != nil {
			return firstPort + n*portRange, lock
		}
	}
	return firstPort + rand.IntN(portRanges)*portRange, nil
})

// lockedFile opens a file and locks it; nil: another process has locked it.
func lockedFile(path string) *os.File {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		f.Close()
		return nil
	}
	return f
}
