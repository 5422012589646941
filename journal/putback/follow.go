package putback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/stream"
)

// follower reads a history from a boundary on, and its later additions.
type follower struct {
	open     func() (*journal.View, error)
	timeline journal.TimelineID
	scanner  *stream.Scanner
	take     func(*stream.Command) error
	patience time.Duration
	lost     error // a part of the stream cannot be read; the rest is not read either
}

// ErrBehind says that the journal does not reach the server's offset.
var ErrBehind = errors.New("the journal does not follow the server")

// The default wait for the journal, and the interval of the checks.
const (
	defaultPatience = 30 * time.Second
	followPoll      = 20 * time.Millisecond // a check reads the whole last file
)

// newFollower begins at the newest base before an offset.
func newFollower(view *journal.View, open func() (*journal.View, error), id journal.TimelineID,
	from int64, take func(*stream.Command) error,
) (*follower, error) {
	base, err := view.BaseFor(id, from)
	if err != nil {
		return nil, err
	}
	return &follower{open: open, timeline: id, take: take,
		scanner: stream.NewScanner(stream.Options{Offset: base.Offset, DB: base.DB})}, nil
}

// read reads the part of a view behind the last read.
func (f *follower) read(ctx context.Context, view *journal.View) error {
	if f.lost != nil {
		return nil
	}
	tl, ok := view.Timeline(f.timeline)
	if !ok || tl.End <= f.scanner.Offset() {
		return nil
	}
	r, err := view.Reader(f.timeline, f.scanner.Offset())
	if err != nil {
		return err
	}
	defer r.Close() // read-only
	for n := 0; ; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, journal.ErrGap), errors.Is(err, journal.ErrDamaged):
			f.lost = err
			return nil
		case err != nil:
			return err
		}
		if err := f.scanner.Feed(c.Time, c.Data, f.take); err != nil {
			return err
		}
	}
}

// reach reads on until it has read a server's offset.
func (f *follower) reach(ctx context.Context, offset int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(f.patience, defaultPatience),
		fmt.Errorf("%w: it is at offset %d, the server at %d", ErrBehind, f.scanner.Offset(), offset))
	defer cancel()
	for f.lost == nil && f.scanner.Offset() < offset {
		view, err := f.open()
		if err != nil {
			return err
		}
		if err := f.read(ctx, view); err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		if f.scanner.Offset() >= offset {
			return nil
		}
		if ctxtime.Sleep(ctx, followPoll) != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}
