//go:build unix

package main

import "golang.org/x/sys/unix"

// openFiles is how many files this process may have open; 0 if unknown. Go has raised the soft
// limit to the hard one when main begins.
func openFiles() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}
