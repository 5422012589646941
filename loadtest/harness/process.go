package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/proxy/proxytest/local"
)

// startTimeout bounds how long a started process may take until it accepts connections.
const startTimeout = 30 * time.Second

// stopTimeout bounds how long a process may take to end after SIGTERM before it is killed.
const stopTimeout = 15 * time.Second

// Process is a server, a peer or the proxy, running until Stop.
type Process struct {
	*local.Process
	Addr string // host:port that it serves
}

// Start runs a program that serves addr, with its output in dir/name.log, and waits until it
// accepts connections. The error names the log when it does not.
func Start(dir, name, addr string, argv ...string) (*Process, error) {
	path := filepath.Join(dir, name+".log")
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	// The tests' collector runs seldom: it is not the one to measure a program's memory with.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOGC=") })
	// A process group of its own: an interrupt at the terminal reaches the harness, which then stops
	// everything in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child, err := local.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{child, addr}
	if err := p.await(); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s does not serve %s: %w; see %s", name, addr, err, path)
	}
	return p, nil
}

// await polls until the address accepts a connection.
func (p *Process) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.DialTimeout("tcp", p.Addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-p.Exited():
			return fmt.Errorf("it has exited (%v)", p.State())
		case <-ctx.Done():
			return err
		}
	}
}

// Stop ends the process with SIGTERM, or SIGKILL when that does not help in time, and waits for
// its end. Further calls do nothing.
func (p *Process) Stop() { p.End(syscall.SIGTERM, stopTimeout) }

// Kill ends the process at once (SIGKILL, which ends a stopped one, too) and waits for its end.
func (p *Process) Kill() { p.End(syscall.SIGKILL, stopTimeout) }

// FreeAddr returns a loopback address on which nothing listens. Another program can take it before it
// is used; Start then fails and says so.
func FreeAddr() (string, error) {
	port, err := local.FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}
