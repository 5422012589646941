package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/rdb"
	"holdfast/journal/stream"
	"holdfast/journal/vfs"
)

// Placement says where a backup file stands in the journal.
type Placement struct {
	Path   string
	Size   int64       // bytes
	Header *rdb.Header // nil where Err is not

	Timeline journal.TimelineID // 0: on none that the journal knows
	OnLine   bool               // on the current timeline's history: nothing after it was lost
	Since    time.Time          // when the first command that it lacks had arrived; zero: none
	Lacks    int64              // bytes of the stream from there to the timeline's end
	Commands int64              // that change data, among them; -1: not counted
	Newest   bool               // of those on the current timeline's history
	Note     string             // what else a person should know
	Err      error              // it cannot be read, or is no RDB file
}

// Which places backup files in the journal by what they say of themselves. The order is that of
// paths. fs nil is the real one.
func Which(ctx context.Context, view *journal.View, fs vfs.FS, paths []string) (
	[]Placement, error,
) {
	if fs == nil {
		fs = vfs.OS{}
	}
	out := make([]Placement, len(paths))
	newest := -1
	for i, path := range paths {
		p := &out[i]
		p.Path, p.Commands = path, -1
		if p.Header, p.Size, p.Err = readHead(fs, path); p.Err != nil {
			continue
		}
		if err := p.place(ctx, view); err != nil {
			return nil, err
		}
		if p.OnLine && (newest < 0 || p.Header.Offset > out[newest].Header.Offset) {
			newest = i
		}
	}
	if newest >= 0 {
		out[newest].Newest = true
	}
	return out, nil
}

func readHead(fs vfs.FS, path string) (*rdb.Header, int64, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close() // read-only
	size, err := f.Size()
	if err != nil {
		return nil, 0, err
	}
	h, err := rdb.ReadHeader(io.NewSectionReader(f, 0, min(size, rdb.HeadBytes)))
	return h, size, err
}

func (p *Placement) place(ctx context.Context, view *journal.View) error {
	h := p.Header
	if !h.Placed() {
		p.Note = "it does not say where it stands: no replica or journal was attached when it was " +
			"written, or it is the base of an append-only file"
		return nil
	}
	tl, ok := holder(view, h.ReplID, h.Offset)
	if !ok {
		p.Note = fmt.Sprintf("the journal does not hold offset %d of history %s", h.Offset, h.ReplID)
		return nil
	}
	p.Timeline = tl.ID
	end := tl.End
	if cur, ok := view.Current(); ok {
		if limit, on := lineage(view, cur)[tl.ID]; on && h.Offset <= limit {
			p.OnLine, tl, end = true, cur, cur.End
		} else {
			p.Note = "it is on a branch that the present history does not contain"
		}
	}
	p.Lacks = end - h.Offset
	return p.count(ctx, view, tl.ID, end)
}

// holder finds the timeline that holds an offset of a history: the newest one, if several do.
func holder(view *journal.View, replID string, offset int64) (journal.Timeline, bool) {
	for _, tl := range slices.Backward(view.Timelines()) {
		if tl.ReplID == replID && tl.Start <= offset && offset <= tl.End {
			return tl, true
		}
	}
	return journal.Timeline{}, false
}

// count counts what the file lacks, as far as it can be read.
func (p *Placement) count(ctx context.Context, view *journal.View, tl journal.TimelineID,
	end int64,
) error {
	commands := int64(0)
	s := scanning{view: view, timeline: tl, from: p.Header.Offset, to: end, db: p.Header.StreamDB,
		maxArg: 16}
	err := s.run(ctx, func(c *stream.Command) error {
		if commands == 0 {
			p.Since = c.Time
		}
		if !replicaOnly(c) && !isFrame(c) && len(c.Args) > 0 {
			commands++
		}
		return nil
	})
	if errors.Is(err, journal.ErrGap) || errors.Is(err, journal.ErrRange) ||
		errors.Is(err, journal.ErrPruned) {
		p.Note = "not all that it lacks can be counted: " + err.Error()
		return nil
	}
	p.Commands = commands
	return err
}
