//go:build unix && !linux

package scratch

import "syscall"

// lower lowers the priority of a process; 0: of this one.
func lower(pid int) {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, niceness) // without it the work is only less polite
}
