//go:build unix && !linux

package scratch

import "syscall"

// apart shields a server from the terminal's signals, which are ours to handle.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
