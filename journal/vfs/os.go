package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// filePerm protects a journal, which holds every value of the data set, from other users.
const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// OS is the machine's own file system. Its zero value is ready.
type OS struct{}

// OrOS returns a file system, or the machine's own if it is nil.
func OrOS(disk FS) FS {
	if disk == nil {
		return OS{}
	}
	return disk
}

// Create implements FS.
func (OS) Create(path string) (File, error) {
	return openOS(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open implements FS.
func (OS) Open(path string) (File, error) { return openOS(path, os.O_RDONLY) }

// OpenReadWrite implements FS.
func (OS) OpenReadWrite(path string) (File, error) { return openOS(path, os.O_RDWR) }

func openOS(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, flag, filePerm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// Rename implements FS.
func (OS) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// Stat implements FS.
func (OS) Stat(path string) (Info, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: st.Size(), ModTime: st.ModTime()}, nil
}

// MkdirAll implements FS.
func (o OS) MkdirAll(dir string) error {
	if st, err := os.Stat(dir); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s: %w as a file", dir, fs.ErrExist)
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := o.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, dirPerm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Lock implements FS with flock, which the kernel releases whenever the process ends.
func (OS) Lock(path, note string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 256))
		_ = f.Close() // only read so far: there is nothing to lose
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%s: %w by %s", path, err, describeHolder(string(holder)))
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(0), writeNote(f, note)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &heldLock{f}, nil
}

// heldLock is a lock until Close. A process that is being forked has the descriptor, too, until it executes
// its program, and with it the lock; so Close unlocks, and does not leave that to the descriptor's end.
type heldLock struct{ f *os.File }

func (l *heldLock) Close() error { return errors.Join(unlockFile(l.f), l.f.Close()) }

func writeNote(f *os.File, note string) error {
	_, err := f.WriteAt([]byte(note+"\n"), 0)
	return err
}

func describeHolder(note string) string {
	if note = strings.TrimSpace(note); note != "" {
		return note
	}
	return "another process"
}

// Usage implements FS.
func (OS) Usage(dir string) (Usage, error) { return diskUsage(dir) }

// osFile is an open file of the machine.
type osFile struct{ *os.File }

// Size implements File.
func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Preallocate implements File.
func (f osFile) Preallocate(size int64) error { return preallocate(f.File, size) }

// Start implements File.
func (f osFile) Start(at, n int64) { startWrite(f.File, at, n) }

// Sync implements File.
func (f osFile) Sync() error { return syncData(f.File) }
