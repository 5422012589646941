package scratch

import "syscall"

// apart shields a server from the terminal's signals, which are ours to handle, and has the kernel
// end it with the thread that started it.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
