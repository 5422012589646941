//go:build !unix

package main

import (
	"io/fs"
	"os"
)

// openFiles is how many files this process may have open; 0 if unknown.
func openFiles() uint64 { return 0 }

// keepOwner does nothing: there are no owners as on Unix.
func keepOwner(*os.File, fs.FileInfo) error { return nil }
