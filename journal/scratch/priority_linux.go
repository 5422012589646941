package scratch

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// lower lowers the priority of a process; 0: of this one. Threads have their own, and give it to those
// that they start.
func lower(pid int) {
	dir := "/proc/self/task"
	if pid != 0 {
		dir = fmt.Sprintf("/proc/%d/task", pid)
	}
	done := map[int]bool{}
	for more := true; more; {
		threads, err := os.ReadDir(dir)
		if err != nil {
			return // without it the work is only less polite
		}
		more = false
		for _, t := range threads {
			if id, err := strconv.Atoi(t.Name()); err == nil && !done[id] {
				done[id], more = true, true
				_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness) // as above
			}
		}
	}
}
