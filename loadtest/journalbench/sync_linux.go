package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync, which the journal uses too.
func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
