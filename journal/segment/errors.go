package segment

import (
	"errors"
	"fmt"
)

// ErrFull says that a batch does not fit in the rest of the segment; nothing was written.
var ErrFull = errors.New("segment is full")

// ErrNewer says that a frame is whole, and of a type that only newer versions know.
var ErrNewer = errors.New("written by a newer version of Holdfast; use that one")

// BadError says that a place in a segment holds an unexpected value.
type BadError struct {
	Offset int64 // in the file, bytes
	Why    string
	Newer  bool // it holds an ErrNewer
}

// Error implements error.
func (e *BadError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Why) }

// Unwrap is ErrNewer for a newer format.
func (e *BadError) Unwrap() error {
	if e.Newer {
		return ErrNewer
	}
	return nil
}
