package audit

import (
	"io"
	"os"
)

// A disk is the file system as the audit log needs it.
type disk interface {
	// open opens a file for appending, and makes it if it is missing. It returns its size.
	open(path string) (file, int64, error)
	// rename replaces newPath.
	rename(oldPath, newPath string) error
}

// A file is one that is open for appending: a line written at the end is whole, even if another
// program has shortened the file.
type file interface {
	io.Writer
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
}

// osDisk is the machine's own.
type osDisk struct{}

func (osDisk) open(path string) (file, int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return osFile{f}, info.Size(), nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (osDisk) rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }
