package scratch

import (
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
	if dir, err = os.MkdirTemp(parent, folderPrefix); err != nil { // mode 0700
		return "", nil, err
	}
	lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		_, err = tryLock(lock)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, lock, nil
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
