package harness

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// userHz is the unit of CPU times in /proc/PID/stat: 1/100 s on every Linux that Go supports
// (getconf CLK_TCK).
const userHz = 100

// CPUTime returns the processor time that a process has used so far, all its threads together: from
// /proc/PID/task/*/schedstat, to the nanosecond, or where the kernel keeps none, user and system
// time of /proc/PID/stat, to 10 ms (proc(5)). The former leaves out threads that have ended, which
// servers, peers and the proxy keep.
func CPUTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	if d, ok := schedTime(pid); ok {
		return d, nil
	}
	return parseCPUTime(stat)
}

// schedTime sums the first field of each thread's schedstat: nanoseconds on a processor.
func schedTime(pid int) (sum time.Duration, ok bool) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, false
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has just ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, false
		}
		sum += time.Duration(n)
	}
	return sum, sum > 0
}

// parseCPUTime reads fields 14 and 15. The second field is the program's name in parentheses,
// which may hold spaces and parentheses itself, so that counting starts behind the last one.
func parseCPUTime(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("no program name in %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3, the state
	if len(fields) < 13 {
		return 0, fmt.Errorf("%d fields after the name, want 13 or more", len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// RSS returns the resident memory of a process in bytes: VmRSS of /proc/PID/status.
func RSS(pid int) (int64, error) {
	return statusBytes(pid, "VmRSS")
}

// PeakRSS returns the most resident memory that a process has had, in bytes: VmHWM.
func PeakRSS(pid int) (int64, error) {
	return statusBytes(pid, "VmHWM")
}

// statusBytes returns a field of /proc/PID/status that is given in kB.
func statusBytes(pid int, field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != field {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		return kb << 10, err
	}
	return 0, fmt.Errorf("no %s of process %d", field, pid)
}

// OpenFiles returns the number of descriptors that a process has open.
func OpenFiles(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

// Machine describes this machine in one line: processor, cores, memory, kernel, Go.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s of memory, Linux %s, %s",
		procValue("/proc/cpuinfo", "model name"), runtime.NumCPU(),
		memory(), kernel(), runtime.Version())
}

// Load is the machine's load over the last minute, for results: "load 1.25".
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return "load " + first
}

// procValue returns the first value of a "name : value" file, or "unknown".
func procValue(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(line, ":")
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func memory() string {
	kb, err := strconv.ParseInt(
		strings.TrimSuffix(procValue("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	if err != nil {
		return "an unknown amount"
	}
	return fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(release))
}
