//go:build !linux

package main

import "os"

// syncData is the nearest that there is to fdatasync.
func syncData(f *os.File) error { return f.Sync() }
