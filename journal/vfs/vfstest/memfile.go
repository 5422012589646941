package vfstest

import (
	"io"
	"io/fs"
	"slices"
)

// memFile is an open file of a Mem. Its node is guarded by the file system's mutex.
type memFile struct {
	fs       *Mem
	node     *node
	path     string
	writable bool
}

// ReadAt implements vfs.File.
func (f *memFile) ReadAt(p []byte, offset int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if offset >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (f *memFile) WriteAt(p []byte, offset int64) (int, error) {
	c := change{offset: offset, data: append([]byte{}, p...)}
	if err := f.change("write", offset+int64(len(p)), c); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Truncate implements vfs.File.
func (f *memFile) Truncate(size int64) error {
	return f.change("truncate", size, change{offset: size})
}

// Preallocate implements vfs.File.
func (f *memFile) Preallocate(size int64) error {
	if held, _ := f.Size(); held >= size {
		return nil
	}
	return f.change("fallocate", size, change{offset: size})
}

// Start implements vfs.File. It changes nothing: unsynced bytes may or may not survive a crash anyway.
func (f *memFile) Start(int64, int64) {}

func (f *memFile) change(op string, size int64, c change) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fs.room(f.node, size)
	if !f.writable {
		err = fs.ErrPermission
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.path, Err: err}
	}
	f.node.apply(c)
	f.node.pending = append(f.node.pending, c)
	return nil
}

// Sync implements vfs.File.
func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if len(f.node.pending) > 0 {
		f.node.own()
	}
	for _, c := range f.node.pending {
		f.node.durable = c.on(f.node.durable)
	}
	f.node.pending = nil
	return nil
}

// Size implements vfs.File.
func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

// Close implements vfs.File. It syncs nothing.
func (f *memFile) Close() error { return nil }

func (n *node) apply(c change) {
	n.own()
	n.data = c.on(n.data)
}

// own makes the bytes of n its own.
func (n *node) own() {
	if n.lent {
		n.data, n.durable, n.lent = slices.Clone(n.data), slices.Clone(n.durable), false
	}
}

// on applies the change to data.
func (c change) on(data []byte) []byte {
	if c.data == nil {
		return resize(data, c.offset)
	}
	if end := c.offset + int64(len(c.data)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[c.offset:], c.data)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size] // so that growing again yields zeros, not the cut bytes
	}
	if held := int64(cap(data)); size > held {
		data = slices.Grow(data, int(max(size, 2*held))-len(data))
	}
	clear(data[len(data):size])
	return data[:size]
}
