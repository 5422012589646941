package journal

import (
	"errors"
	"io/fs"
	"path/filepath"

	"holdfast/journal/vfs"
)

// InUse reports whether a process has a folder's journal open. If none has, it takes the lock for a
// moment. A nil disk is the machine's.
func InUse(disk vfs.FS, dir string) (bool, error) {
	disk = vfs.OrOS(disk)
	lock, err := disk.Lock(filepath.Join(dir, lockName), "a look whether it is in use")
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, lock.Close()
}
