//go:build !linux

package drills

import "errors"

// flipInMemory needs Linux's /proc.
func flipInMemory(int, []byte) error { return errors.New("this drill needs /proc/PID/mem of Linux") }
