package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"holdfast/journal/seldom"
)

// A File writes the lines to one file. Loops put entries into a batch and never wait: an entry that
// does not fit is counted and dropped. One goroutine takes the batch every few milliseconds and
// writes it, so a flood of refusals costs the loops one wake-up for hundreds of entries. Failed
// writes are counted, too, and the next batch is tried again.
//
// A crash of the process loses the waiting entries, as a crash of the machine loses the page cache.
// A channel was measured and rejected: it woke the goroutine for nearly every entry.
type File struct {
	opts   Options
	log    *slog.Logger
	disk   disk
	counts *counts
	wake   chan struct{} // one token: the batch has its first entry, or is half full
	quit   chan struct{}
	done   chan struct{}

	mu     sync.Mutex // held for a few instructions
	batch  []Entry    // guarded by mu
	closed bool       // guarded by mu: there is no further batch

	// Owned by the goroutine.
	spare []Entry
	file  file   // nil: not open
	size  int64  // of the file
	buf   []byte // unwritten lines
	lines uint64 // number of lines in buf
	torn  bool   // the file may end in a half line
	told  seldom.Pace
}

const (
	// maxBatch is the maximum number of entries that wait for the disk: a tenth of a second of a
	// flood.
	maxBatch = 8192
	// writeSize is the size of one write in bytes.
	writeSize = 64 << 10
	// spareBatch is the capacity above which a batch is not reused.
	spareBatch = 1024
	// gatherTime is how long a batch gathers entries before the write.
	gatherTime = 5 * time.Millisecond
	// failurePause is the minimum time between two log lines about a failing disk.
	failurePause = time.Minute
)

// Stop ends the goroutine after it has written the entries put before. A nil File has none.
func (f *File) Stop() {
	if f != nil {
		close(f.quit)
		<-f.done
	}
}

// put adds an entry to the batch. Any goroutine may call it; it never waits for the disk.
func (f *File) put(e Entry) {
	f.mu.Lock()
	n := len(f.batch)
	if n == maxBatch || f.closed {
		f.mu.Unlock()
		f.counts.dropped.Add(1)
		return
	}
	f.batch = append(f.batch, e)
	f.mu.Unlock()
	if n == 0 || n == maxBatch/2 {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// full reports whether put would drop an entry, so that the caller need not make one.
func (f *File) full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.batch) == maxBatch
}

// run is the goroutine. Started by Open, joined by Stop.
func (f *File) run() {
	defer close(f.done)
	defer f.close()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for quit := false; !quit; {
		select {
		case <-f.wake:
		case <-f.quit:
			quit = true
		}
		pause.Reset(gatherTime)
		select {
		case <-pause.C:
		case <-f.wake: // half full
		case <-f.quit:
			quit = true
		}
		f.writeBatch(quit)
	}
}

// writeBatch writes the batch. With last, later entries are dropped.
func (f *File) writeBatch(last bool) {
	f.mu.Lock()
	f.closed = last
	batch := f.batch
	f.batch, f.spare = f.spare[:0], nil
	f.mu.Unlock()
	for i := range batch {
		f.add(&batch[i])
	}
	f.flush()
	if cap(batch) <= spareBatch {
		clear(batch)
		f.spare = batch
	}
}

// add appends a line to buf. It first rotates a file that the line would make too large.
func (f *File) add(e *Entry) {
	from := len(f.buf)
	f.buf = append(e.appendJSON(f.buf), '\n')
	f.lines++
	over := f.size+int64(len(f.buf)) > f.opts.MaxSize && f.size+int64(from) > 0
	if !over && len(f.buf) <= writeSize {
		return
	}
	line := f.buf[from:]
	f.buf, f.lines = f.buf[:from], f.lines-1
	f.flush()
	if over {
		f.close()
		if f.check(f.rotate()) { // after a failure the file grows, since lines matter more
			f.torn = false
		}
	}
	f.buf, f.lines = append(f.buf, line...), 1
}

// flush writes the lines. Lines that fail are counted.
func (f *File) flush() {
	if f.lines == 0 {
		return
	}
	err := f.open()
	if err == nil {
		err = f.write()
	}
	if f.check(err) {
		f.counts.written.Add(f.lines)
	} else {
		f.counts.failed.Add(f.lines)
	}
	f.buf, f.lines = f.buf[:0], 0
}

// write writes buf, on a new line if there is a half one before it.
func (f *File) write() error {
	text := f.buf
	if f.torn {
		text = append([]byte("\n"), text...)
	}
	n, err := f.file.Write(text)
	if err == nil {
		f.size, f.torn = f.size+int64(n), false
		return nil
	}
	if n > 0 {
		err = errors.Join(err, f.cut(int64(n)))
	}
	return err
}

// cut removes the n bytes of a failed write. They stay if another program, or the File that a
// reload has put in force, has written to the file or shortened it: to cut it at the known size
// would remove whole lines, or add zeros.
func (f *File) cut(n int64) error {
	size, err := f.file.Size()
	if err == nil && size == f.size+n {
		if err = f.file.Truncate(f.size); err == nil {
			return nil
		}
	}
	f.torn = true
	return err
}

// check logs an error, at most once per failurePause, and closes the file; the next entry opens it
// again.
func (f *File) check(err error) bool {
	if err == nil {
		return true
	}
	if f.told.Passes("", time.Now().UnixNano(), failurePause) {
		f.log.Error("the audit log cannot be written", "file", f.opts.File, "error", err)
	}
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
	return false
}

// open opens the file if it is not open.
func (f *File) open() error {
	if f.file != nil {
		return nil
	}
	opened, size, err := f.disk.open(f.opts.File)
	if err != nil {
		return err
	}
	f.file, f.size = opened, size
	return nil
}

func (f *File) close() {
	if f.file == nil {
		return
	}
	f.check(f.file.Close())
	f.file, f.size = nil, 0
}

// rotate gives each file the next number and removes the last one.
func (f *File) rotate() error {
	name := func(n int) string {
		if n == 0 {
			return f.opts.File
		}
		return fmt.Sprintf("%s.%d", f.opts.File, n)
	}
	for n := f.opts.Keep; n > 0; n-- {
		if err := f.disk.rename(name(n-1), name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
