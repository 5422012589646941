package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"holdfast/journal/vfs"
)

// Small JSON files in the folder hold state outside the log.

// maxSmallFile is above the size of any of them, in bytes.
const maxSmallFile = 16 << 20

// leaveFile writes one durably, replacing the last.
func leaveFile(disk vfs.FS, dir, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	f, err := disk.Create(path + tmpSuffix)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	_, err = f.WriteAt(text, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = disk.Rename(path+tmpSuffix, path)
	}
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// readFile reads one; ok is false if there is none, or it is not JSON.
func readFile(disk vfs.FS, dir, name string, v any) (ok bool, err error) {
	f, err := disk.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	defer f.Close() // read-only
	size, err := f.Size()
	if err != nil || size > maxSmallFile {
		return false, fmt.Errorf("journal: %s: %d bytes, %w", name, size, err)
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, 0); err != nil && size > 0 {
		return false, fmt.Errorf("journal: %s: %w", name, err)
	}
	return json.Unmarshal(text, v) == nil, nil
}
