//go:build !linux

package proxytest

import "syscall"

// dieWithParent exists on Linux only: elsewhere a server can outlive a test binary that crashes.
func dieWithParent() *syscall.SysProcAttr { return nil }
