package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/journal"
)

// Raw copies pieces of a history unchanged, in ascending order.
type Raw struct {
	view     *journal.View
	timeline journal.TimelineID
	reader   *journal.Reader // nil: none
	chunk    []byte          // the part of the last read that is not behind
	at       int64           // its offset
}

// NewRaw reads a timeline; 0 is the current one.
func NewRaw(view *journal.View, id journal.TimelineID) (*Raw, error) {
	tl, err := pickTimeline(view, id)
	return &Raw{view: view, timeline: tl.ID}, err
}

// nearby is the distance up to which it reads ahead instead of seeking.
const nearby = 4 << 20

// Copy writes the bytes [from, to).
func (r *Raw) Copy(ctx context.Context, w io.Writer, from, to int64) error {
	if r.reader == nil || from < r.at || from > r.at+int64(len(r.chunk))+nearby {
		if err := r.open(from); err != nil {
			return err
		}
	}
	for from < to {
		end := r.at + int64(len(r.chunk))
		if from < end {
			piece := r.chunk[from-r.at : min(to, end)-r.at]
			if _, err := w.Write(piece); err != nil {
				return err
			}
			from += int64(len(piece))
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := r.reader.Next()
		if errors.Is(err, journal.ErrGap) && r.reader.Offset() < from { // the piece lies behind it
			if err := r.open(from); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("offset %d: %w", from, err)
		}
		r.chunk, r.at = c.Data, c.Offset
	}
	return nil
}

func (r *Raw) open(at int64) error {
	r.Close()
	var err error
	r.reader, err = r.view.Reader(r.timeline, at)
	r.chunk, r.at = nil, at
	return err
}

// Close closes the file.
func (r *Raw) Close() {
	if r.reader != nil {
		_ = r.reader.Close() // read-only
		r.reader = nil
	}
}
