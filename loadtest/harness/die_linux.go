package harness

import "syscall"

// attributes of a started process. It has its own process group: an interrupt at the terminal
// reaches the harness, which then stops everything in order. And it ends with the harness, however
// that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
