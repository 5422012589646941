//go:build unix

package vfs

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A lock that was given back is free although a forked process still has its descriptor.
func TestLockIsFreeBesideACopyOfItsDescriptor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	first, err := OS{}.Lock(path, "first")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(first.(*heldLock).f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := OS{}.Lock(path, "second")
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
