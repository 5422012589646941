//go:build !unix

package vfs

import "os"

// lockFile cannot lock here: nothing prevents a second writer.
func lockFile(*os.File) error { return nil }

func unlockFile(*os.File) error { return nil }
