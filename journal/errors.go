package journal

import (
	"errors"
	"fmt"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

var (
	// ErrLocked: another process has the journal open for writing. The text says which.
	ErrLocked = vfs.ErrLocked
	// ErrClosed: the journal was closed.
	ErrClosed = errors.New("journal is closed")
	// ErrFailed: a write or fsync failed, and so did the retry in a new segment. Nothing more is
	// made durable until the journal is reopened. Every error of this kind wraps the first one.
	ErrFailed = errors.New("journal has failed")
	// ErrOffset: bytes do not continue the timeline. The text has got and want.
	ErrOffset = errors.New("offset does not continue the timeline")
	// ErrTimeline: there is no such timeline, or it is not the current one.
	ErrTimeline = errors.New("not the current timeline")
	// ErrNoBase: no snapshot leads to that offset.
	ErrNoBase = errors.New("no base leads there")
	// ErrBase: a snapshot is bad: cut short, altered, or no RDB at all.
	ErrBase = errors.New("bad base")
	// ErrRange: the offset is outside of the timeline's range.
	ErrRange = errors.New("offset is outside of the timeline")
	// ErrPruned: retention removed the file while it was in use.
	ErrPruned = errors.New("removed by retention")
	// ErrSpace: the disk has no room for that. The text has got and want.
	ErrSpace = errors.New("not enough room on the disk")
	// ErrDamaged matches every DamageError.
	ErrDamaged = errors.New("journal is damaged")
	// ErrNewer: a newer version wrote the folder. Nothing is damaged, and nothing was changed.
	ErrNewer = segment.ErrNewer
	// ErrGap matches every GapError.
	ErrGap = errors.New("bytes are missing")
)

// DamageError says that bytes which were durable once have changed. Nothing is ever cut off or
// skipped because of it: that is an operator's decision.
type DamageError struct {
	Segment string // file name
	Offset  int64  // in the file, bytes
	Why     string
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d: %s", ErrDamaged, e.Segment, e.Offset, e.Why)
}

// Is makes every DamageError an ErrDamaged.
func (e *DamageError) Is(target error) bool { return target == ErrDamaged }

// GapError says that a reader has reached bytes that the journal never received.
type GapError struct{ Gap }

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("%v: offsets %d to %d of timeline %d: %s",
		ErrGap, e.From, e.To, e.Timeline, e.Why)
}

// Is makes every GapError an ErrGap.
func (e *GapError) Is(target error) bool { return target == ErrGap }
