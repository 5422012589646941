package vfstest

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/journal/vfs"
)

// Mem is a file system in memory that tracks which state is synced, so that it can be cloned as a
// crash would leave it (CrashClone). Folders exist as soon as they are named.
//
// A file is durable by two separate steps, as on a disk: File.Sync for its bytes and length,
// SyncDir for its name. A file whose name was not synced may be gone after a crash, synced bytes
// and all.
type Mem struct {
	mu      sync.Mutex
	names   map[string]*node // as seen now
	durable map[string]*node // as left if nothing more reaches the disk
	pending []nameChange     // between the two, in order
	locks   map[string]string
	total   int64 // capacity in bytes; 0: no limit
}

// node is a file's contents, apart from its names.
type node struct {
	data    []byte
	durable []byte
	pending []change // since the last Sync, in order
	lent    bool     // data and durable may be another node's, too: they are copied before a change
}

// change is a write, or with data == nil a new length.
type change struct {
	offset int64 // of the write; or the length
	data   []byte
}

// nameChange is one change of a folder.
type nameChange struct {
	remove string // "" for none
	add    string // "" for none
	node   *node
}

// NewMem makes an empty file system.
func NewMem() *Mem {
	return &Mem{
		names:   map[string]*node{},
		durable: map[string]*node{},
		locks:   map[string]string{},
	}
}

// SetCapacity limits the sum of all file lengths, in bytes; above it writes fail with ENOSPC.
// Zero means no limit.
func (m *Mem) SetCapacity(total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = total
}

// Create implements vfs.FS.
func (m *Mem) Create(path string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[path]
	if n == nil {
		n = &node{}
		m.rename(nameChange{add: path, node: n})
	}
	n.apply(change{})
	n.pending = append(n.pending, change{})
	return &memFile{fs: m, node: n, path: path, writable: true}, nil
}

// Open implements vfs.FS.
func (m *Mem) Open(path string) (vfs.File, error) { return m.open(path, false) }

// OpenReadWrite implements vfs.FS.
func (m *Mem) OpenReadWrite(path string) (vfs.File, error) { return m.open(path, true) }

func (m *Mem) open(path string, writable bool) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[path]
	if n == nil {
		return nil, missing("open", path)
	}
	return &memFile{fs: m, node: n, path: path, writable: writable}, nil
}

func missing(op, path string) error {
	return &fs.PathError{Op: op, Path: path, Err: fs.ErrNotExist}
}

// Remove implements vfs.FS.
func (m *Mem) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[path] == nil {
		return missing("remove", path)
	}
	m.rename(nameChange{remove: path})
	return nil
}

// Rename implements vfs.FS.
func (m *Mem) Rename(oldPath, newPath string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[oldPath]
	if n == nil {
		return missing("rename", oldPath)
	}
	m.rename(nameChange{remove: oldPath, add: newPath, node: n})
	return nil
}

func (m *Mem) rename(c nameChange) {
	c.apply(m.names)
	m.pending = append(m.pending, c)
}

func (c nameChange) apply(names map[string]*node) {
	if c.remove != "" {
		delete(names, c.remove)
	}
	if c.add != "" {
		names[c.add] = c.node
	}
}

// List implements vfs.FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for path := range m.names {
		if filepath.Dir(path) == filepath.Clean(dir) {
			names = append(names, filepath.Base(path))
		}
	}
	sort.Strings(names)
	return names, nil
}

// Stat implements vfs.FS. It keeps no times.
func (m *Mem) Stat(path string) (vfs.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[path]
	if n == nil {
		return vfs.Info{}, missing("stat", path)
	}
	return vfs.Info{Size: int64(len(n.data)), ModTime: time.Time{}}, nil
}

// MkdirAll implements vfs.FS.
func (m *Mem) MkdirAll(string) error { return nil }

// SyncDir implements vfs.FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.pending[:0]
	for _, c := range m.pending {
		if inDir(c.remove, dir) || inDir(c.add, dir) {
			c.apply(m.durable)
			continue
		}
		kept = append(kept, c)
	}
	m.pending = kept
	return nil
}

func inDir(path, dir string) bool {
	return path != "" && filepath.Dir(path) == filepath.Clean(dir)
}

// Lock implements vfs.FS among the users of one Mem; a clone starts without locks.
func (m *Mem) Lock(path, note string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if holder, held := m.locks[path]; held {
		return nil, fmt.Errorf("%s: %w by %s", path, vfs.ErrLocked, strings.TrimSpace(holder))
	}
	m.locks[path] = note
	return &memLock{fs: m, path: path}, nil
}

type memLock struct {
	fs   *Mem
	path string
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	delete(l.fs.locks, l.path)
	return nil
}

// Usage implements vfs.FS.
func (m *Mem) Usage(string) (vfs.Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.total == 0 {
		return vfs.Usage{}, nil
	}
	return vfs.Usage{Total: m.total, Free: max(0, m.total-m.used())}, nil
}

// used counts file lengths. The caller holds mu.
func (m *Mem) used() int64 {
	var sum int64
	for _, n := range m.names {
		sum += int64(len(n.data))
	}
	return sum
}

// room reports whether the disk has room for n to grow to size. The caller holds mu.
func (m *Mem) room(n *node, size int64) error {
	if grow := size - int64(len(n.data)); m.total > 0 && grow > 0 && m.used()+grow > m.total {
		return syscall.ENOSPC
	}
	return nil
}
