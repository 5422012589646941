package vfstest

import (
	"io"

	"holdfast/journal/vfs"
)

// Kind names an operation.
type Kind string

// The operations, as an Op names them.
const (
	OpCreate      Kind = "create"
	OpOpen        Kind = "open"
	OpRemove      Kind = "remove"
	OpRename      Kind = "rename"
	OpList        Kind = "list"
	OpStat        Kind = "stat"
	OpMkdir       Kind = "mkdir"
	OpSyncDir     Kind = "syncdir"
	OpLock        Kind = "lock"
	OpUsage       Kind = "usage"
	OpRead        Kind = "read"
	OpWrite       Kind = "write"
	OpTruncate    Kind = "truncate"
	OpPreallocate Kind = "preallocate"
	OpSync        Kind = "sync"
	OpSize        Kind = "size"
	OpClose       Kind = "close"
)

// Op is one operation that is about to happen.
type Op struct {
	Kind   Kind
	Path   string // of the file or folder; of Rename the new one
	Offset int64  // of a read or write; the size of a truncate or preallocate
	Len    int    // of a read or write, in bytes
}

// WithFaults is base with before called ahead of each operation, on its goroutine and without any
// lock. An error from it becomes the operation's, and the operation does not take place, except for
// a write: its first half does, as on a disk that fills up. before may also wait (a slow disk) or
// inspect the file system (a crash at this moment).
func WithFaults(base vfs.FS, before func(Op) error) vfs.FS { return faultFS{base, before} }

type faultFS struct {
	base   vfs.FS
	before func(Op) error
}

func (f faultFS) Create(path string) (vfs.File, error) {
	return f.file(OpCreate, path, f.base.Create)
}

func (f faultFS) Open(path string) (vfs.File, error) {
	return f.file(OpOpen, path, f.base.Open)
}

func (f faultFS) OpenReadWrite(path string) (vfs.File, error) {
	return f.file(OpOpen, path, f.base.OpenReadWrite)
}

func (f faultFS) file(k Kind, path string, open func(string) (vfs.File, error)) (vfs.File, error) {
	if err := f.before(Op{Kind: k, Path: path}); err != nil {
		return nil, err
	}
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	return faultFile{file, path, f.before}, nil
}

func (f faultFS) Remove(path string) error {
	if err := f.before(Op{Kind: OpRemove, Path: path}); err != nil {
		return err
	}
	return f.base.Remove(path)
}

func (f faultFS) Rename(oldPath, newPath string) error {
	if err := f.before(Op{Kind: OpRename, Path: newPath}); err != nil {
		return err
	}
	return f.base.Rename(oldPath, newPath)
}

func (f faultFS) List(dir string) ([]string, error) {
	if err := f.before(Op{Kind: OpList, Path: dir}); err != nil {
		return nil, err
	}
	return f.base.List(dir)
}

func (f faultFS) Stat(path string) (vfs.Info, error) {
	if err := f.before(Op{Kind: OpStat, Path: path}); err != nil {
		return vfs.Info{}, err
	}
	return f.base.Stat(path)
}

func (f faultFS) MkdirAll(dir string) error {
	if err := f.before(Op{Kind: OpMkdir, Path: dir}); err != nil {
		return err
	}
	return f.base.MkdirAll(dir)
}

func (f faultFS) SyncDir(dir string) error {
	if err := f.before(Op{Kind: OpSyncDir, Path: dir}); err != nil {
		return err
	}
	return f.base.SyncDir(dir)
}

func (f faultFS) Lock(path, note string) (io.Closer, error) {
	if err := f.before(Op{Kind: OpLock, Path: path}); err != nil {
		return nil, err
	}
	return f.base.Lock(path, note)
}

func (f faultFS) Usage(dir string) (vfs.Usage, error) {
	if err := f.before(Op{Kind: OpUsage, Path: dir}); err != nil {
		return vfs.Usage{}, err
	}
	return f.base.Usage(dir)
}

type faultFile struct {
	vfs.File
	path   string
	before func(Op) error
}

func (f faultFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.before(Op{OpRead, f.path, offset, len(p)}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, offset)
}

func (f faultFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.before(Op{OpWrite, f.path, offset, len(p)}); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], offset)
		return n, err
	}
	return f.File.WriteAt(p, offset)
}

func (f faultFile) Truncate(size int64) error {
	if err := f.before(Op{Kind: OpTruncate, Path: f.path, Offset: size}); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f faultFile) Preallocate(size int64) error {
	if err := f.before(Op{Kind: OpPreallocate, Path: f.path, Offset: size}); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

func (f faultFile) Sync() error {
	if err := f.before(Op{Kind: OpSync, Path: f.path}); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f faultFile) Size() (int64, error) {
	if err := f.before(Op{Kind: OpSize, Path: f.path}); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f faultFile) Close() error {
	if err := f.before(Op{Kind: OpClose, Path: f.path}); err != nil {
		return err
	}
	return f.File.Close()
}
