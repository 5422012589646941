package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

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

// notesIn reads all files of a kind, each of which has the name that its content gives it. One that is not
// JSON is skipped. A nil disk is the machine's.
func notesIn[T any](disk vfs.FS, dir, prefix string, name func(*T) string) (out []T, err error) {
	disk = vfs.OrOS(disk)
	files, err := disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	for _, file := range files {
		if !strings.HasPrefix(file, prefix) || strings.HasSuffix(file, tmpSuffix) {
			continue
		}
		var note T
		ok, err := readFile(disk, dir, file, &note)
		if err != nil {
			return nil, err
		}
		if ok && name(&note) == file {
			out = append(out, note)
		}
	}
	return out, nil
}

// forgetNote removes a file durably, if there is one. A nil disk is the machine's.
func forgetNote(disk vfs.FS, dir, name string) error {
	disk = vfs.OrOS(disk)
	err := disk.Remove(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
