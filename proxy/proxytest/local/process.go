package local

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a running program, until it is reaped. It may be used from several goroutines.
type Process struct {
	Pid    int
	cmd    *exec.Cmd
	exited chan struct{} // closed once it is reaped
}

// Start starts a command. Where the system can, the process ends when this one dies without its
// cleanups: by a panic, a timeout, a kill.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd.SysProcAttr)
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run owns the process from start to reaping. It stays on one thread, because the kernel ties the
// signal that ends the process to the thread that started it.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.Pid = p.cmd.Process.Pid
	started <- nil
	_ = p.cmd.Wait() // State has the reason
	close(p.exited)
}

// Exited is closed once the process is reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// State describes the end of a process that has exited.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Running reports that the process has not been reaped.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Signal sends a signal. A process that has ended takes none, which is no error.
func (p *Process) Signal(sig syscall.Signal) {
	if p.Running() { // its pid may belong to another process otherwise
		_ = p.cmd.Process.Signal(sig) // an error means that it has just ended
	}
}

// End sends a signal and waits until the process is gone. After patience it sends SIGKILL.
func (p *Process) End(sig syscall.Signal, patience time.Duration) {
	p.Signal(sig)
	p.Signal(syscall.SIGCONT) // a stopped process takes no SIGTERM
	select {
	case <-p.exited:
		return
	case <-time.After(patience):
	}
	p.Signal(syscall.SIGKILL)
	<-p.exited
}
