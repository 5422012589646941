package main

import (
	"math"

	"github.com/KimMachineGun/automemlimit/memlimit"
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
func machineMemory() int64 { return leastOf(memlimit.FromSystem, memlimit.FromCgroup) }

// leastOf is the least of some limits in bytes; 0 if none is known. The error of a source says that it
// sets no limit, or that there is no such source here.
func leastOf(sources ...memlimit.Provider) int64 {
	least := int64(0)
	for _, source := range sources {
		n, err := source()
		if err == nil && n > 0 && n <= math.MaxInt64 && (least == 0 || int64(n) < least) {
			least = int64(n)
		}
	}
	return least
}
