package proxytest

import "syscall"

// dieWithParent makes the kernel kill a server whose test binary dies without its cleanups: a
// panic, a test timeout, a kill.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
