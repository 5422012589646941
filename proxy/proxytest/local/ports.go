package local

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
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

// given has the ports that FreePort returned in this process: their servers may be down.
var given sync.Map

// FreePort returns a loopback port without a listener, another one each time.
func FreePort() (int, error) {
	first, _ := ownPorts()
	var last error
	for try := range 256 {
		port := first + rand.IntN(portRange)
		if _, before := given.LoadOrStore(port, true); before && try < 128 {
			continue // later tries: a long run has used up its range
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

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
