//go:build linux || darwin

package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// diskUsage counts as free the blocks that an unprivileged user may take; the share reserved for
// root counts as used, as in df.
func diskUsage(dir string) (Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Usage{}, os.NewSyscallError("statfs", err)
	}
	size := int64(st.Bsize)
	used := int64(st.Blocks-st.Bfree) * size
	free := int64(st.Bavail) * size
	return Usage{Total: used + free, Free: free}, nil
}
