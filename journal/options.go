package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/journal/event"
	"holdfast/journal/vfs"
)

// Options configure a journal. Dir is required.
type Options struct {
	Dir string
	// FS is the disk; nil is the machine's.
	FS vfs.FS
	// SegmentBytes is the size of a log file; 0 is 64 MiB. A larger batch makes the file larger.
	SegmentBytes int64
	// MaxPending bounds the appended bytes that are not yet durable; 0 is 64 MiB. Above it Append
	// waits.
	MaxPending int64
	Retention  Retention
	Disk       DiskLimits
	// Poll is the interval of the disk checks; 0 is a second. Retention runs every 60 of them.
	Poll time.Duration
	// OnState is called after State changed, by the goroutine that changed it: it must not block,
	// and may call only the journal's non-blocking methods. nil: no callback.
	OnState func()
	// OnEvent is called with each event when it begins and when it has ended, under the same rule,
	// including events of earlier days found only now. nil: no callback.
	OnEvent func(event.Event)
	Logger  *slog.Logger     // nil discards
	Now     func() time.Time // nil is time.Now
}

// Retention limits the journal's age and size. The first limit that is reached counts. The newest
// base of the current timeline, and everything after it, is always kept.
type Retention struct {
	Age   time.Duration // 0: no limit
	Bytes int64         // of segments and bases together; 0: no limit
}

// DiskLimits are percentages of the file system that holds the journal; 0: no limit.
type DiskLimits struct {
	Warn int // from here on Stats and the log say so, with the time to full
	Stop int // from here on retention drops all it may, then acknowledgements stop
}

const (
	defaultSegmentBytes = 64 << 20
	defaultMaxPending   = 64 << 20
	defaultPoll         = time.Second
	retentionEvery      = 60 // polls
)

// fill sets defaults and refuses contradictions.
func (o *Options) fill() error {
	o.FS = vfs.OrOS(o.FS)
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.MaxPending == 0 {
		o.MaxPending = defaultMaxPending
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.OnState == nil {
		o.OnState = func() {}
	}
	if o.OnEvent == nil {
		o.OnEvent = func(event.Event) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o.validate()
}

func (o *Options) validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("journal: no folder given"))
	}
	for name, n := range map[string]int64{"SegmentBytes": o.SegmentBytes,
		"MaxPending": o.MaxPending, "Poll": int64(o.Poll)} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("journal: %s is %d, below zero", name, n))
		}
	}
	if o.Retention.Age < 0 || o.Retention.Bytes < 0 {
		errs = append(errs, errors.New("journal: retention is below zero"))
	}
	d := o.Disk
	if d.Warn < 0 || d.Warn > 100 || d.Stop < 0 || d.Stop > 100 ||
		d.Stop > 0 && d.Warn > d.Stop {
		errs = append(errs, fmt.Errorf("journal: disk limits warn %d, stop %d: want 0 <= warn <= "+
			"stop <= 100", d.Warn, d.Stop))
	}
	return errors.Join(errs...)
}
