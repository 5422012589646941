package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncData flushes bytes and length. fdatasync omits the times, which saves a write to the file
// system's journal for each call.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// preallocate reserves blocks. A file system without fallocate only grows the file.
func preallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == unix.EINTR:
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return f.Truncate(size)
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// startWrite submits dirty pages. An error of the disk stays with the file for the next fdatasync;
// an error of this call, if the system does not support it, means only that nothing was begun.
func startWrite(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}
