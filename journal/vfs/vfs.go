// Package vfs is the journal's only way to the disk. It owns every call to the operating system
// that the journal makes about files; it knows nothing of what is in them.
//
// There are three file systems: OS is the machine's own, Mem lives in memory and can be cloned as
// a power cut would leave it, and WithFaults stands before either and fails chosen operations.
// Tests of durability use the last two: a killed process proves little, since the page cache
// survives it, while a crash clone keeps only what was synced.
//
// A file system may be used from several goroutines. A File belongs to one writer; ReadAt may run
// beside it.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrLocked is what Lock answers where another holder has the lock. The text says who, as far as
// the holder wrote it down.
var ErrLocked = errors.New("locked")

// FS is a file system as the journal needs it. Paths are what path/filepath makes of them.
// Errors satisfy errors.Is for fs.ErrNotExist, fs.ErrExist, syscall.ENOSPC and so on.
type FS interface {
	// Create makes an empty file for reading and writing, or empties the one that is there. The
	// name is durable only after SyncDir.
	Create(path string) (File, error)
	// Open opens for reading only.
	Open(path string) (File, error)
	// OpenReadWrite opens a file that exists.
	OpenReadWrite(path string) (File, error)
	// Remove deletes a file. It stays deleted after a crash only after SyncDir.
	Remove(path string) error
	// Rename replaces newPath at once. It is durable only after SyncDir.
	Rename(oldPath, newPath string) error
	// List gives the names (not paths) in a folder, sorted, without subfolders.
	List(dir string) ([]string, error)
	// Stat describes a file.
	Stat(path string) (Info, error)
	// MkdirAll makes a folder and its parents, and syncs the folder above each that it made.
	MkdirAll(dir string) error
	// SyncDir makes a folder's names durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, which is made where it is missing, and writes note
	// into it. It never waits: a lock that is held is ErrLocked with the holder's note. The lock
	// ends with Close or with the process.
	Lock(path, note string) (io.Closer, error)
	// Usage describes the file system that holds a folder.
	Usage(dir string) (Usage, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the length; what is added reads as zeros.
	Truncate(size int64) error
	// Preallocate reserves space up to size where the system can; what is added reads as zeros.
	// Where it cannot, the file only grows. An error of ENOSPC means that there is no room.
	Preallocate(size int64) error
	// Start lets the disk begin with n bytes that were just written, where the system can: Sync
	// then waits for less. It promises nothing and tells nothing, not even an error: Sync does.
	Start(at, n int64)
	// Sync makes the file's bytes and length durable (not its name). After an error nothing is
	// known of any byte written since the last Sync that succeeded, and a second Sync proves
	// nothing: the pages are marked clean.
	Sync() error
}

// Info describes a file.
type Info struct {
	Size    int64 // bytes
	ModTime time.Time
}

// Usage describes a file system, in bytes.
type Usage struct {
	Total int64
	Free  int64 // what this process may still take
}

// UsedPercent is the part of the file system that is taken, from 0 to 100.
func (u Usage) UsedPercent() float64 {
	if u.Total <= 0 {
		return 0
	}
	return 100 * float64(u.Total-u.Free) / float64(u.Total)
}
