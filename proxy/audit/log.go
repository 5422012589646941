package audit

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// Options configure the audit log: one line with a JSON object for each command whose verdict is
// other than a plain allow.
type Options struct {
	File    string // relative to the working directory; empty: no audit log
	MaxSize int64  // size in bytes at which the file is rotated; 64 MiB
	Keep    int    // number of rotated files kept: FILE.1 is the newest; 8
}

func (o *Options) setDefaults() {
	if o.MaxSize == 0 {
		o.MaxSize = 64 << 20
	}
	if o.Keep == 0 {
		o.Keep = 8
	}
}

// A Log is the audit log: the file in force, which a reload replaces, and the counts, which outlive
// it. Any goroutine may call its methods, and none of them waits for the disk but Open.
type Log struct {
	log    *slog.Logger
	disk   disk
	file   atomic.Pointer[File] // nil: there is none
	counts counts
}

// counts are the entries by outcome.
type counts struct{ written, dropped, failed atomic.Uint64 }

// Counts are the entries since the start, by outcome.
type Counts struct{ Written, Dropped, Failed uint64 }

// New makes a log without a file. Its own trouble goes to log.
func New(log *slog.Logger) *Log { return &Log{log: log, disk: osDisk{}} }

// Open prepares a file; Swap puts it in force. nil: no audit log is configured. Stop it in either
// case.
func (l *Log) Open(o Options) (*File, error) {
	if o.File == "" {
		return nil, nil
	}
	o.setDefaults()
	f := &File{
		opts: o, log: l.log, disk: l.disk, counts: &l.counts, wake: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	go f.run()
	return f, nil
}

// Swap puts f in force, and returns the file before it. Either may be nil.
func (l *Log) Swap(f *File) (was *File) { return l.file.Swap(f) }

// On reports whether there is a file.
func (l *Log) On() bool { return l.file.Load() != nil }

// Admits reports whether Put would take an entry, so that the caller need not make one in vain. An
// entry that a full batch keeps out is counted.
func (l *Log) Admits() bool {
	f := l.file.Load()
	if f == nil {
		return false
	}
	if f.full() {
		l.counts.dropped.Add(1)
		return false
	}
	return true
}

// Put writes an entry, or drops and counts it. It never waits.
func (l *Log) Put(e Entry) {
	if f := l.file.Load(); f != nil {
		f.put(e)
	}
}

// Note is Put for an entry of the present time.
func (l *Log) Note(e Entry) {
	e.Time = time.Now().UTC().Truncate(time.Millisecond)
	l.Put(e)
}

// Counts returns the counts for the metrics.
func (l *Log) Counts() Counts {
	c := &l.counts
	return Counts{Written: c.written.Load(), Dropped: c.dropped.Load(), Failed: c.failed.Load()}
}
