//go:build !linux && !darwin

package main

// physicalMemory is the memory of the machine in bytes; 0 if unknown.
func physicalMemory() int64 { return 0 }
