package main

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// spareFiles is the number of descriptors beyond clients and pinned links.
const spareFiles = 128

// fallbackMemory is assumed where the machine does not report its memory.
const fallbackMemory = 4 << 30

// memoryLimit is limits.memory in bytes; 0 means half of the memory available to this process.
func memoryLimit(configured int64) int64 {
	if configured > 0 {
		return configured
	}
	total := machineMemory()
	if total <= 0 {
		total = fallbackMemory
	}
	return total / 2
}

// machineMemory is the memory available to this process, in bytes: the memory of the machine or, if
// that is less, of its control group; 0 if unknown.
func machineMemory() int64 {
	total := physicalMemory()
	if group := groupMemory("/"); group > 0 && (total == 0 || group < total) {
		return group
	}
	return total
}

// groupMemory is the least memory limit of this process's control group and those around it, as
// cgroup v2 (memory.max) and v1 (memory.limit_in_bytes) have it; 0 for none. The file system
// begins at root.
func groupMemory(root string) int64 {
	least := int64(math.MaxInt64)
	take := func(file string) {
		text, err := os.ReadFile(path.Join(root, file))
		if err != nil {
			return
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			least = min(least, n)
		}
	}
	take("sys/fs/cgroup/memory/memory.limit_in_bytes")
	text, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		text = nil
	}
	for line := range strings.Lines(string(text)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/")
		for ok {
			take(path.Join("sys/fs/cgroup", group, "memory.max"))
			ok = group != "" && group != "."
			group = path.Dir(group)
		}
	}
	// Version 1 says "no limit" with a number just below the largest.
	if least >= math.MaxInt64>>1 {
		return 0
	}
	return least
}
