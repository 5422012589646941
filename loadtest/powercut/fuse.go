//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A platter is a FUSE file system of one file, "disk", in memory. It knows which sectors were
// written since the last flush, and on a power cut keeps of those what chance decides.
//
// The protocol is that of linux/fuse.h, version 7.31, little-endian. What is not here is answered
// ENOSYS, which the kernel takes for "not supported".
type platter struct {
	dir string
	dev *os.File

	mu      sync.Mutex
	current []byte
	durable []byte
	dirty   map[int]struct{} // sectors that differ, perhaps
	lie     bool             // a flush is answered and not done
	off     bool             // the power is off: nothing is answered but EIO
	served  sync.WaitGroup
}

// flushTime is how long a flush takes.
const flushTime = 3 * time.Millisecond

const (
	sector   = 512
	maxWrite = 128 << 10
	diskName = "disk"
	rootNode = 1
	diskNode = 2
)

// The operations that are answered.
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

// mountPlatter serves image at dir until stop.
func mountPlatter(dir string, image []byte) (*platter, error) {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	p := &platter{dir: dir, dev: dev, current: image, durable: append([]byte(nil), image...),
		dirty: map[int]struct{}{}}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev.Fd())
	if err := unix.Mount("powercut", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", dir, err), dev.Close())
	}
	p.served.Add(1)
	go p.serve()
	return p, nil
}

func (p *platter) path() string { return filepath.Join(p.dir, diskName) }

// serve is the goroutine that answers the kernel. Joined by stop.
func (p *platter) serve() {
	defer p.served.Done()
	fd := int(p.dev.Fd())
	buf := make([]byte, maxWrite+64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case err != nil || n < inHeader: // ENODEV: unmounted
			return
		}
		op := binary.LittleEndian.Uint32(buf[4:])
		if op == opForget || op == opBatchForget || op == opInterrupt {
			continue
		}
		if op == opFsync {
			time.Sleep(flushTime) // as disks do; a cut most often meets one in the middle of it
		}
		reply, errno := p.answer(op, binary.LittleEndian.Uint64(buf[16:]), buf[inHeader:n])
		out := make([]byte, outHeader, outHeader+len(reply))
		binary.LittleEndian.PutUint32(out, uint32(outHeader+len(reply)))
		binary.LittleEndian.PutUint32(out[4:], uint32(-int32(errno)))
		copy(out[8:], buf[8:16])
		// A request that was given up meanwhile is answered ENOENT, which is nobody's concern.
		_, _ = unix.Write(fd, append(out, reply...))
	}
}

func (p *platter) answer(op uint32, node uint64, in []byte) ([]byte, unix.Errno) {
	p.mu.Lock()
	defer p.mu.Unlock()
	le := binary.LittleEndian
	switch op {
	case opInit:
		out := make([]byte, 64)
		le.PutUint32(out, 7)
		le.PutUint32(out[4:], 31)
		le.PutUint32(out[8:], maxWrite)
		le.PutUint16(out[16:], 16)
		le.PutUint32(out[20:], maxWrite)
		return out, 0
	case opLookup:
		if node != rootNode || string(in) != diskName+"\x00" {
			return nil, unix.ENOENT
		}
		out := make([]byte, 40)
		le.PutUint64(out, diskNode)
		le.PutUint64(out[16:], 3600)
		le.PutUint64(out[24:], 3600)
		return append(out, p.attr(diskNode)...), 0
	case opGetattr, opSetattr:
		out := make([]byte, 16)
		le.PutUint64(out, 3600)
		return append(out, p.attr(node)...), 0
	case opOpen, opOpendir:
		return make([]byte, 16), 0
	case opStatfs:
		return make([]byte, 80), 0
	case opReaddir, opRelease, opReleasedir, opFlush, opAccess:
		return nil, 0
	}
	if p.off {
		return nil, unix.EIO
	}
	return p.transfer(op, in)
}

// transfer reads, writes and flushes the disk.
func (p *platter) transfer(op uint32, in []byte) ([]byte, unix.Errno) {
	le := binary.LittleEndian
	switch op {
	case opRead:
		from := min(int(le.Uint64(in[8:])), len(p.current))
		to := min(from+int(le.Uint32(in[16:])), len(p.current))
		return append([]byte(nil), p.current[from:to]...), 0
	case opWrite:
		at, data := int(le.Uint64(in[8:])), in[40:]
		if at+len(data) > len(p.current) {
			return nil, unix.ENOSPC
		}
		copy(p.current[at:], data)
		for s := at / sector; s*sector < at+len(data); s++ {
			p.dirty[s] = struct{}{}
		}
		out := make([]byte, 8)
		le.PutUint32(out, uint32(len(data)))
		return out, 0
	case opFsync:
		if p.lie {
			return nil, 0
		}
		for s := range p.dirty {
			copy(p.durable[s*sector:(s+1)*sector], p.current[s*sector:])
		}
		clear(p.dirty)
		return nil, 0
	}
	return nil, unix.ENOSYS
}

// attr is struct fuse_attr.
func (p *platter) attr(node uint64) []byte {
	out := make([]byte, 88)
	le := binary.LittleEndian
	le.PutUint64(out, node)
	mode := uint32(unix.S_IFDIR | 0o755)
	if node == diskNode {
		mode = unix.S_IFREG | 0o600
		le.PutUint64(out[8:], uint64(len(p.current)))
		le.PutUint64(out[16:], uint64(len(p.current)/sector))
	}
	le.PutUint32(out[60:], mode)
	le.PutUint32(out[64:], 1)
	le.PutUint32(out[80:], 4096)
	return out
}

// cut turns the power off and returns what is left: all that was flushed and, of the sectors that
// were not, those for which keep says so.
func (p *platter) cut(keep func() bool) (image []byte, lost int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	image = append([]byte(nil), p.durable...)
	for s := range p.dirty {
		if keep() {
			copy(image[s*sector:(s+1)*sector], p.current[s*sector:])
		} else {
			lost++
		}
	}
	return image, lost
}

func (p *platter) setLie(lie bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lie = lie
}

// stop unmounts it.
func (p *platter) stop() error {
	err := unix.Unmount(p.dir, unix.MNT_DETACH)
	if id, serr := connection(p.dir); serr == nil {
		err = errors.Join(err, os.WriteFile(
			fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", id), []byte("1"), 0))
	}
	p.served.Wait()
	return errors.Join(err, p.dev.Close())
}

// connection is the number of a FUSE mount that is still there.
func connection(dir string) (uint32, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, err
	}
	if st.Ino != rootNode {
		return 0, fs.ErrNotExist
	}
	return unix.Minor(st.Dev), nil
}
