//go:build !linux

package main

import "os"

// syncData is the closest substitute for fdatasync.
func syncData(f *os.File) error { return f.Sync() }
