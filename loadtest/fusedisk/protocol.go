//go:build linux

package fusedisk

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The protocol is that of linux/fuse.h, version 7.31, little-endian. Other operations get ENOSYS,
// which the kernel takes for "not supported".

const (
	sector   = 512
	maxWrite = 128 << 10
	diskName = "disk"
	rootNode = 1
	diskNode = 2
)

// The supported operations.
const (
	opLookup, opForget, opGetattr, opSetattr = 1, 2, 3, 4
	opOpen, opRead, opWrite, opStatfs        = 14, 15, 16, 17
	opRelease, opFsync, opFlush, opInit      = 18, 20, 25, 26
	opOpendir, opReaddir, opReleasedir       = 27, 28, 29
	opAccess, opInterrupt, opBatchForget     = 34, 36, 42
)

const (
	inHeader  = 40
	outHeader = 16
)

var le = binary.LittleEndian

// reply writes one answer. The kernel answers a request that was given up meanwhile with ENOENT,
// which does no harm.
func reply(fd int, unique []byte, body []byte, errno unix.Errno) {
	out := make([]byte, outHeader, outHeader+len(body))
	le.PutUint32(out, uint32(outHeader+len(body)))
	le.PutUint32(out[4:], uint32(-int32(errno)))
	copy(out[8:], unique)
	_, _ = unix.Write(fd, append(out, body...))
}

// initReply is struct fuse_init_out.
func initReply() []byte {
	out := make([]byte, 64)
	le.PutUint32(out, 7)
	le.PutUint32(out[4:], 31)
	le.PutUint32(out[8:], maxWrite)
	le.PutUint16(out[16:], 16)
	le.PutUint32(out[20:], maxWrite)
	return out
}

// describe answers requests about files rather than their content; false: it is none.
func (d *Disk) describe(op uint32, node uint64, in []byte) ([]byte, unix.Errno, bool) {
	switch op {
	case opInit:
		return initReply(), 0, true
	case opLookup:
		if node != rootNode || string(in) != diskName+"\x00" {
			return nil, unix.ENOENT, true
		}
		out := make([]byte, 40)
		le.PutUint64(out, diskNode)
		le.PutUint64(out[16:], 3600)
		le.PutUint64(out[24:], 3600)
		return append(out, d.attr(diskNode)...), 0, true
	case opGetattr, opSetattr:
		out := make([]byte, 16)
		le.PutUint64(out, 3600)
		return append(out, d.attr(node)...), 0, true
	case opOpen, opOpendir:
		return make([]byte, 16), 0, true
	case opStatfs:
		return make([]byte, 80), 0, true
	case opReaddir, opRelease, opReleasedir, opFlush, opAccess:
		return nil, 0, true
	}
	return nil, 0, false
}

// attr is struct fuse_attr.
func (d *Disk) attr(node uint64) []byte {
	out := make([]byte, 88)
	le.PutUint64(out, node)
	mode := uint32(unix.S_IFDIR | 0o755)
	if node == diskNode {
		mode = unix.S_IFREG | 0o600
		le.PutUint64(out[8:], uint64(len(d.current)))
		le.PutUint64(out[16:], uint64(len(d.current)/sector))
	}
	le.PutUint32(out[60:], mode)
	le.PutUint32(out[64:], 1)
	le.PutUint32(out[80:], 4096)
	return out
}
