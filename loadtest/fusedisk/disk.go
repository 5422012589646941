//go:build linux

package fusedisk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the properties of a disk.
type Options struct {
	Flush time.Duration // how long a flush takes; 0: no time
	// PowerCuts keeps a second copy of all flushed data, so that Cut works.
	PowerCuts bool
}

// A Disk is a FUSE file system of one file, "disk", in memory. It tracks the sectors written since
// the last flush; on a power cut, chance decides which of them stay.
type Disk struct {
	dir  string
	dev  *os.File
	opts Options

	mu      sync.Mutex
	current []byte
	durable []byte           // nil without PowerCuts
	dirty   map[int]struct{} // sectors that no flush has taken; empty without PowerCuts
	running []*flushing      // oldest first
	lie     bool             // flushes are answered and not done
	off     bool             // the power is off: every answer is EIO
	stats   Stats

	served sync.WaitGroup
}

// Stats are counts since the disk was mounted.
type Stats struct {
	Flushes  int // that have ended
	Together int // the most that ran at once
}

// mount serves image at dir until stop. The disk owns the image.
func mount(dir string, image []byte, opts Options) (*Disk, error) {
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	d := &Disk{dir: dir, dev: dev, opts: opts, current: image, dirty: map[int]struct{}{}}
	if opts.PowerCuts {
		d.durable = append([]byte(nil), image...)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", dev.Fd())
	if err := unix.Mount("fusedisk", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return nil, errors.Join(fmt.Errorf("mount %s: %w", dir, err), dev.Close())
	}
	d.served.Add(1)
	go d.serve()
	return d, nil
}

func (d *Disk) path() string { return filepath.Join(d.dir, diskName) }

// serve is the goroutine that answers the kernel. Joined by stop.
func (d *Disk) serve() {
	defer d.served.Done()
	fd := int(d.dev.Fd())
	buf := make([]byte, maxWrite+64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOENT):
			continue
		case err != nil || n < inHeader: // ENODEV: unmounted
			return
		}
		op, unique := le.Uint32(buf[4:]), buf[8:16]
		switch op {
		case opForget, opBatchForget, opInterrupt:
		case opFsync:
			d.served.Add(1)
			go d.flush(fd, append([]byte(nil), unique...))
		default:
			body, errno := d.answer(op, le.Uint64(buf[16:]), buf[inHeader:n])
			reply(fd, unique, body, errno)
		}
	}
}

func (d *Disk) answer(op uint32, node uint64, in []byte) ([]byte, unix.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if body, errno, ok := d.describe(op, node, in); ok {
		return body, errno
	}
	switch {
	case d.off:
		return nil, unix.EIO
	case op == opRead:
		from := min(int(le.Uint64(in[8:])), len(d.current))
		to := min(from+int(le.Uint32(in[16:])), len(d.current))
		return append([]byte(nil), d.current[from:to]...), 0
	case op == opWrite:
		return d.write(int(le.Uint64(in[8:])), in[40:])
	}
	return nil, unix.ENOSYS
}

func (d *Disk) write(at int, data []byte) ([]byte, unix.Errno) {
	if at+len(data) > len(d.current) {
		return nil, unix.ENOSPC
	}
	copy(d.current[at:], data)
	if d.durable != nil {
		for s := at / sector; s*sector < at+len(data); s++ {
			d.dirty[s] = struct{}{}
		}
	}
	out := make([]byte, 8)
	le.PutUint32(out, uint32(len(data)))
	return out, 0
}

// A flushing is a flush that runs: the sectors that it makes durable, as it found them.
type flushing struct {
	took map[int][]byte // nil: nothing, without PowerCuts or on a disk that lies
}

// flush answers one FSYNC after its time. It is a goroutine of its own, joined by stop, so that the
// disk can read and write meanwhile.
func (d *Disk) flush(fd int, unique []byte) {
	defer d.served.Done()
	f := d.beginFlush()
	if d.opts.Flush > 0 {
		time.Sleep(d.opts.Flush)
	}
	reply(fd, unique, nil, d.endFlush(f))
}

func (d *Disk) beginFlush() *flushing {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &flushing{}
	if d.durable != nil && !d.lie {
		f.took = make(map[int][]byte, len(d.dirty))
		for s := range d.dirty {
			f.took[s] = append([]byte(nil), d.current[s*sector:(s+1)*sector]...)
		}
		clear(d.dirty)
	}
	d.running = append(d.running, f)
	d.stats.Together = max(d.stats.Together, len(d.running))
	return f
}

// endFlush makes durable the sectors of the flush, and of those that began before it: its end
// promises these, too.
func (d *Disk) endFlush(f *flushing) unix.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off {
		return unix.EIO
	}
	d.stats.Flushes++
	at := slices.Index(d.running, f)
	for _, earlier := range d.running[:at+1] {
		for s, data := range earlier.took {
			copy(d.durable[s*sector:], data)
		}
		earlier.took = nil
	}
	d.running = slices.Delete(d.running, at, at+1)
	return 0
}

// Cut turns the power off and returns the remaining image: all flushed data and, of the other
// sectors, those that keep selects. It needs Options.PowerCuts.
func (d *Disk) Cut(keep func() bool) (image []byte, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	image = append([]byte(nil), d.durable...)
	chance := func(s int, data []byte) {
		if keep() {
			copy(image[s*sector:], data)
		} else {
			lost++
		}
	}
	for _, f := range d.running {
		for s, data := range f.took {
			chance(s, data)
		}
	}
	for s := range d.dirty {
		chance(s, d.current[s*sector:(s+1)*sector])
	}
	return image, lost
}

// SetLie makes flushes from now on answer without effect, or take effect again.
func (d *Disk) SetLie(lie bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lie = lie
}

// Stats returns the counts.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

func (d *Disk) isOff() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

// stop unmounts it.
func (d *Disk) stop() error {
	err := unix.Unmount(d.dir, unix.MNT_DETACH)
	if id, serr := connection(d.dir); serr == nil {
		err = errors.Join(err, os.WriteFile(
			fmt.Sprintf("/sys/fs/fuse/connections/%d/abort", id), []byte("1"), 0))
	}
	d.served.Wait()
	return errors.Join(err, d.dev.Close())
}

// connection is the number of a FUSE mount that still exists.
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
