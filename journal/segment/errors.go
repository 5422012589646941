package segment

import (
	"errors"
	"fmt"
)

// ErrFull says that a batch does not fit in the rest of the segment; nothing was written.
var ErrFull = errors.New("segment is full")

// BadError says that a place in a segment does not hold what it should.
type BadError struct {
	Offset int64 // in the file, bytes
	Why    string
}

// Error implements error.
func (e *BadError) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Why) }
