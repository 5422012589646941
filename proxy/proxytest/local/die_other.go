//go:build !linux

package local

import "syscall"

// dieWithParent exists on Linux only: elsewhere a process can outlive a test binary that crashes.
func dieWithParent(*syscall.SysProcAttr) {}
