package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/journal/vfs"
)

// MoveAside renames a folder to DIR.damaged-TIME, so that a new journal can begin in its place, and
// returns that name. If the folder itself cannot be renamed, such as a mount point, its files move
// into a folder within it. ErrLocked says that a process has it open.
func MoveAside(disk vfs.FS, dir string, now time.Time) (to string, err error) {
	disk = vfs.OrOS(disk)
	lock, err := disk.Lock(filepath.Join(dir, lockName), "moving it aside")
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	mark := ".damaged-" + now.UTC().Format("20060102T150405.000")
	to = filepath.Clean(dir) + mark
	if err := disk.Rename(dir, to); err == nil {
		return to, disk.SyncDir(filepath.Dir(to))
	}
	return moveFiles(disk, dir, filepath.Join(dir, mark[1:]))
}

// moveFiles moves the files of a journal.
func moveFiles(disk vfs.FS, dir, to string) (string, error) {
	names, err := disk.List(dir)
	if err == nil {
		err = disk.MkdirAll(to)
	}
	if err != nil {
		return "", fmt.Errorf("journal: %w", err)
	}
	for _, name := range names {
		if _, segment := parseSegment(name); !segment && !isBase(name) {
			continue // Open ignores or removes these
		}
		if err := disk.Rename(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return "", fmt.Errorf("journal: %w", err)
		}
	}
	return to, errors.Join(disk.SyncDir(to), disk.SyncDir(dir))
}
