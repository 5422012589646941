// Package vfs is the journal's only way to the disk. It owns every file system call of the journal;
// it knows nothing of the files' content.
//
// OS is the machine's own file system. Package vfstest has those of tests: one in memory, with crash
// clones, and one that fails chosen operations.
//
// A file system may be used from several goroutines. A File belongs to one writer; ReadAt may run
// concurrently.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrLocked is Lock's error if another process holds the lock. The text names the holder, if the
// note does.
var ErrLocked = errors.New("locked")

// FS is a file system as the journal needs it. Paths have path/filepath's form. Errors satisfy
// errors.Is for fs.ErrNotExist, fs.ErrExist, syscall.ENOSPC and so on.
type FS interface {
	// Create makes an empty file for reading and writing, or empties an existing one. The name is
	// durable only after SyncDir.
	Create(path string) (File, error)
	// Open opens for reading only.
	Open(path string) (File, error)
	// OpenReadWrite opens a file that exists.
	OpenReadWrite(path string) (File, error)
	// Remove deletes a file. It stays deleted after a crash only after SyncDir.
	Remove(path string) error
	// Rename replaces newPath at once. It is durable only after SyncDir.
	Rename(oldPath, newPath string) error
	// List returns the names (not paths) in a folder, sorted, without subfolders.
	List(dir string) ([]string, error)
	// Stat describes a file.
	Stat(path string) (Info, error)
	// MkdirAll makes a folder and its parents, and syncs the parent of each that it made.
	MkdirAll(dir string) error
	// SyncDir makes a folder's names durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock on a file, which it creates if missing, and writes note into it.
	// It never waits: if the lock is held, it returns ErrLocked with the holder's note. The lock
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
	// Truncate sets the length; added bytes read as zeros.
	Truncate(size int64) error
	// Preallocate reserves space up to size where the system can; added bytes read as zeros.
	// Where it cannot, the file only grows. An error of ENOSPC means that there is no room.
	Preallocate(size int64) error
	// Start lets the disk begin with n bytes that were just written, where the system can: Sync
	// then waits for less. It promises nothing and returns nothing, not even an error: Sync does.
	Start(at, n int64)
	// Sync makes the file's bytes and length durable (not its name). After an error the state of
	// every byte written since the last successful Sync is unknown, and a second Sync proves
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
	Free  int64 // still available to this process
}

// UsedPercent is the used part of the file system, from 0 to 100.
func (u Usage) UsedPercent() float64 {
	if u.Total <= 0 {
		return 0
	}
	return 100 * float64(u.Total-u.Free) / float64(u.Total)
}

// Below is the number of free bytes until percent of the file system are used; 0 percent is all of
// it. It is below zero if more is used already.
func (u Usage) Below(percent int) int64 {
	if percent == 0 {
		percent = 100
	}
	return u.Free - u.Total*int64(100-percent)/100
}
