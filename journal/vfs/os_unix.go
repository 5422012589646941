//go:build unix

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// unlockFile gives the flock of f back.
func unlockFile(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != unix.EINTR {
			return os.NewSyscallError("flock", err)
		}
	}
}

// lockFile takes the exclusive flock of f without waiting.
func lockFile(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrLocked
		default:
			return os.NewSyscallError("flock", err)
		}
	}
}
