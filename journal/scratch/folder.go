package scratch

import (
	"errors"
	"os"
	"path/filepath"
)

// folderPrefix is the prefix of scratch servers' folders.
const folderPrefix = "holdfast-scratch-"

// lockName is a file in each folder. The process that made it and its server hold a lock on it,
// which the kernel releases when they end.
const lockName = "lock"

// makeFolder makes a folder that only this user can enter, and removes those of dead processes.
// lock must be kept open and given to the server.
func makeFolder(parent string) (dir string, lock *os.File, err error) {
	if parent == "" {
		parent = os.TempDir()
	}
	clearFolders(parent)
	for range folderAttempts {
		if dir, err = os.MkdirTemp(parent, folderPrefix); err != nil { // mode 0700
			return "", nil, err
		}
		if lock, err = lockFolder(dir); err == nil {
			return dir, lock, nil
		}
		os.RemoveAll(dir)
	}
	return "", nil, err
}

// folderAttempts bounds the attempts to make a folder, which other processes take for a dead one's until it is locked.
const folderAttempts = 16

var errCleared = errors.New("another process clears the folder")

// lockFolder makes a folder's lock, and makes sure that the folder is still there with it.
func lockFolder(dir string) (lock *os.File, err error) {
	path := filepath.Join(dir, lockName)
	if lock, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	free, err := tryLock(lock)
	if err == nil && !(free && isAt(lock, path)) {
		err = errCleared
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// isAt reports whether a path leads to an open file.
func isAt(f *os.File, path string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(have, there)
}

// clearFolders removes the folders of killed processes. A folder that cannot be removed, such as
// another user's, stays.
func clearFolders(parent string) {
	all, err := filepath.Glob(filepath.Join(parent, folderPrefix+"*", lockName))
	if err != nil {
		return // only for a bad pattern
	}
	for _, path := range all {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if free, err := tryLock(f); free && err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		f.Close()
	}
}
