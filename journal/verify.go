package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// Problem is a fault that Verify found.
type Problem struct {
	File string
	Err  error // a *DamageError, ErrBase, or the disk's own
}

// Verify reads every byte of the log and of all bases and checks it: frames, the chain through and
// across segments, the bytes behind their ends, and the snapshots' checksums. progress, if not nil,
// is called now and then with the bytes done and their total. The error is the context's.
func (v *View) Verify(ctx context.Context, progress func(done, total int64)) ([]Problem, error) {
	c := verifier{view: v, ctx: ctx, progress: progress}
	return c.run()
}

func (c *verifier) run() ([]Problem, error) {
	v, ctx := c.view, c.ctx
	for _, s := range v.segments {
		c.total += s.Bytes
	}
	for _, b := range v.catalog.bases {
		c.total += b.Size
	}
	for _, d := range v.damages {
		c.problems = append(c.problems, Problem{d.Segment, d})
	}
	for i, s := range v.segments {
		if err := ctx.Err(); err != nil {
			return c.problems, err
		}
		if c.skip == nil || !c.skip(s.File) {
			err := c.segment(i)
			if ctx.Err() != nil {
				return c.problems, ctx.Err()
			}
			c.note(s.File, err)
			c.found(s.File, err == nil && c.reads(i))
		}
		c.advance(s.Bytes)
	}
	for _, b := range v.catalog.bases {
		if c.skip == nil || !c.skip(b.File) {
			err := c.base(b)
			if ctx.Err() != nil {
				return c.problems, ctx.Err()
			}
			c.note(b.File, err)
			c.found(b.File, err == nil)
		}
		c.advance(b.Size)
	}
	return c.problems, nil
}

type verifier struct {
	view        *View
	ctx         context.Context
	progress    func(done, total int64)
	sealed      bool                   // leave the segment out that is being written
	skip        func(file string) bool // nil: none
	sound       func(file string)      // called for each sound file; may be nil
	done, total int64
	problems    []Problem
}

func (c *verifier) note(file string, err error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) && c.pruned(file) {
		return
	}
	c.problems = append(c.problems, Problem{file, err})
}

func (c *verifier) found(file string, sound bool) {
	if sound && c.sound != nil {
		c.sound(file)
	}
}

// pruned answers whether retention has dropped a file that is gone: it runs while the verifier
// reads.
func (c *verifier) pruned(file string) bool {
	now, err := OpenView(c.view.fs, c.view.dir)
	return err == nil &&
		!slices.ContainsFunc(now.segments, func(s Segment) bool { return s.File == file }) &&
		!slices.ContainsFunc(now.catalog.bases, func(b Base) bool { return b.File == file })
}

func (c *verifier) advance(n int64) {
	c.done += n
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
}

// reads reports whether a segment is read: others were when the view was opened, or are left out.
func (c *verifier) reads(i int) bool {
	s := c.view.segments[i]
	return !s.Damaged && !c.unlinked(i) && !(s.Live && c.sealed)
}

func (c *verifier) segment(i int) error {
	s := c.view.segments[i]
	if !c.reads(i) {
		return nil
	}
	return c.view.with(s.File, func(f vfs.File) error {
		if s.Live {
			return c.live(f, s)
		}
		next := c.view.segments[i+1]
		var link segment.Header
		err := c.view.with(next.File, func(n vfs.File) error {
			h, _, err := segment.ReadHeader(n)
			link = h
			return damage(next.File, err)
		})
		if err != nil {
			return err
		}
		if err := walk(f, link.PrevEnd, link.PrevChain, c.frame); err != nil {
			return damage(s.File, err)
		}
		return trailing(f, s, link)
	})
}

// unlinked reports whether the segment behind one cannot say where it ends.
func (c *verifier) unlinked(i int) bool {
	if len(c.view.damages) == 0 || c.view.segments[i].Live {
		return false
	}
	next := c.view.segments[i+1]
	return next.Seq != c.view.segments[i].Seq+1 || next.Damaged
}

// frame checks what only the meaning of a frame can show.
func (c *verifier) frame(f segment.Frame, payload []byte) error {
	if f.Type == segment.Stream || f.Type == segment.Commit || f.Type == segment.Seal {
		return nil
	}
	var alone catalog
	if f.Type == segment.Gap {
		f.Flags |= segment.FlagCarried
	}
	return alone.apply(f, len(payload), payload)
}

// live checks the last segment up to where the view knows it.
func (c *verifier) live(f vfs.File, s Segment) error {
	result, err := segment.Scan(f, nil)
	switch {
	case err != nil:
		return damage(s.File, err)
	case result.Damaged():
		return &DamageError{s.File, result.Bad, result.Why}
	case result.End < s.Bytes:
		return &DamageError{s.File, result.End, fmt.Sprintf("%s, want frames up to byte %d",
			result.Why, s.Bytes)}
	}
	return nil
}

// trailing looks at what stands behind a segment's end. Behind one that was given up anything may.
func trailing(f vfs.File, s Segment, next segment.Header) error {
	size, err := f.Size()
	if err != nil || next.PrevSuspect {
		return err
	}
	if size != next.PrevEnd {
		return &DamageError{s.File, next.PrevEnd, fmt.Sprintf("the file has %d bytes, want %d",
			size, next.PrevEnd)}
	}
	return nil
}

func (c *verifier) base(b Base) error {
	err := c.view.with(b.File, func(f vfs.File) error {
		return checkRDB(c.ctx, f, b.Size, b.CRC)
	})
	if err != nil && !errors.Is(err, ErrBase) {
		return fmt.Errorf("%w: %w", ErrBase, err)
	}
	return err
}
