//go:build !linux

package vfs

import "os"

// syncData flushes everything of the file; on Darwin the runtime asks for F_FULLFSYNC.
func syncData(f *os.File) error { return f.Sync() }

// preallocate grows the file; the blocks come with the writes.
func preallocate(f *os.File, size int64) error {
	st, err := f.Stat()
	if err != nil || st.Size() >= size {
		return err
	}
	return f.Truncate(size)
}

// startWrite does nothing: the write happens with the sync.
func startWrite(*os.File, int64, int64) {}
