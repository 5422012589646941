package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// startTimeout bounds how long a started process may take until it accepts connections.
const startTimeout = 30 * time.Second

// stopTimeout bounds how long a process may take to end after SIGTERM before it is killed.
const stopTimeout = 15 * time.Second

// Process is a server, a peer or the proxy, running until Stop.
type Process struct {
	Name string // for messages
	Addr string // host:port that it serves
	Pid  int

	cmd    *exec.Cmd
	exited chan struct{} // closed by wait once the process is reaped
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
	cmd.SysProcAttr = attributes()
	p := &Process{Name: name, Addr: addr, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.await(); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s does not serve %s: %w; see %s", name, addr, err, path)
	}
	return p, nil
}

// run starts the process and reaps it. It stays on one thread, because the kernel ties the signal
// that ends the process with the harness to the thread that started it.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.Pid = p.cmd.Process.Pid
	started <- nil
	_ = p.cmd.Wait() // its log has the exit status; Stop and await need only the fact
	close(p.exited)
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
		case <-p.exited:
			return fmt.Errorf("it has exited (%v)", p.cmd.ProcessState)
		case <-ctx.Done():
			return err
		}
	}
}

// Running reports that the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Stop ends the process with SIGTERM, or SIGKILL when that does not help in time, and waits for
// its end. Further calls do nothing.
func (p *Process) Stop() {
	if !p.Running() {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has just ended
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// Signal sends a signal; a process that has ended takes none, and that is no error.
func (p *Process) Signal(sig syscall.Signal) {
	if p.Running() {
		_ = p.cmd.Process.Signal(sig) // an error means that it has just ended
	}
}

// Kill ends the process at once (SIGKILL, which ends a stopped one, too) and waits for its end.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.exited
}

// FreeAddr returns a loopback address on which nothing listens. It lies below the range that the
// kernel gives to outgoing connections, so that none of these takes it while a server is down.
// Another program can take it before it is used; Start then fails and says so.
func FreeAddr() (string, error) {
	var last error
	for range 64 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		ln, err := net.Listen("tcp", addr)
		if err == nil {
			return addr, ln.Close()
		}
		last = err
	}
	return "", fmt.Errorf("no free port: %w", last)
}
