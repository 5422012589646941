package replay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/rdb"
	"holdfast/journal/vfs"
)

// Placement is the value of a backup and its place in the journal. The backup is an RDB file or the
// folder of an append-only file.
type Placement struct {
	Path      string
	AOF       bool // a folder
	Condition Condition
	Why       string      // why it is not Sound
	Header    *rdb.Header // of the RDB; nil: there is none
	Created   time.Time   // zero: unknown
	Keys      int64       // in the RDB file; -1: not counted

	Timeline journal.TimelineID // 0: on none known to the journal
	ReplID   string             // "": unknown
	Offset   int64              // -1: unknown
	OnLine   bool               // the present history contains it
	// Ahead is its excess over the journal's end of that history: bytes of stream of an RDB file,
	// commands of an append-only file.
	Ahead int64

	Since    time.Time // arrival of the first command that it lacks; zero: none
	Lacks    int64     // bytes of the present history's stream that it lacks
	Commands int64     // that change data, among them; -1: not counted
	Branches []Lack    // the parts it lacks of histories that the server has left
	Newest   bool      // of all sound enough for use
	Note     string    // advice for its user
	Err      error     // it cannot be read
}

// placed reports whether the journal knows the place.
func (p *Placement) placed() bool { return p.Timeline != 0 }

// usable reports whether it is a candidate for the newest.
func (p *Placement) usable() bool {
	return p.Err == nil && p.Condition != Damaged && p.placed() && p.OnLine
}

// newer orders backups of one history.
func (p *Placement) newer(o *Placement) bool {
	switch {
	case (p.Ahead > 0) != (o.Ahead > 0):
		return p.Ahead > 0
	case p.Timeline != o.Timeline:
		return p.Timeline > o.Timeline
	case p.Offset != o.Offset:
		return p.Offset > o.Offset
	}
	return p.Ahead > o.Ahead || p.Ahead == o.Ahead && p.Condition == Sound && o.Condition != Sound
}

// Which reads backups to their end and places them in the journal. The order is that of paths. disk
// nil is the real one.
func Which(ctx context.Context, view *journal.View, disk vfs.FS, paths []string) (
	[]Placement, error,
) {
	disk = vfs.OrOS(disk)
	out := make([]Placement, len(paths))
	newest := -1
	for i, path := range paths {
		p := &out[i]
		p.Path, p.Commands, p.Offset, p.Keys = path, -1, -1, -1
		if err := p.look(ctx, view, disk); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			p.Err = err
			continue
		}
		if p.usable() && (newest < 0 || p.newer(&out[newest])) {
			newest = i
		}
	}
	if newest >= 0 {
		out[newest].Newest = true
	}
	return out, nil
}

// look reads a backup and places it.
func (p *Placement) look(ctx context.Context, view *journal.View, disk vfs.FS) error {
	if strings.HasSuffix(p.Path, ".manifest") {
		return p.lookAOF(ctx, view, disk, filepath.Dir(p.Path))
	}
	if _, err := disk.Stat(p.Path); err != nil {
		return err
	}
	if _, err := disk.List(p.Path); err == nil {
		return p.lookAOF(ctx, view, disk, p.Path)
	} else if errors.Is(err, fs.ErrPermission) {
		return err
	}
	f, err := readRDB(ctx, disk, p.Path)
	if err != nil {
		return err
	}
	p.Condition, p.Why = f.condition()
	if f.Report == nil {
		return nil
	}
	p.takeRDB(f)
	return p.place(ctx, view)
}

func (p *Placement) takeRDB(f *rdbFile) {
	p.Header, p.Created = f.Header, f.Header.Created
	if f.Contents != nil && f.err == nil {
		p.Keys = 0
		for _, n := range f.Contents.Keys {
			p.Keys += n
		}
	}
}

// place places an RDB file by its own header.
func (p *Placement) place(ctx context.Context, view *journal.View) error {
	h := p.Header
	if !h.Placed() {
		p.Note = "it does not say where it stands: no replica or journal was attached when it was " +
			"written, or it is the base of an append-only file"
		return nil
	}
	p.ReplID, p.Offset = h.ReplID, h.Offset
	tl, ok := holder(view, h.ReplID, h.Offset)
	if !ok {
		tl, ok = beyond(view, h.ReplID, h.Offset)
		p.Ahead = h.Offset - tl.End
	}
	if !ok {
		p.Ahead = 0
		p.Note = fmt.Sprintf("the journal does not hold offset %d of history %s", h.Offset, h.ReplID)
		return nil
	}
	return p.settle(ctx, view, tl, h.Offset, h.StreamDB)
}

// settle rates a backup at a known place.
func (p *Placement) settle(ctx context.Context, view *journal.View, tl journal.Timeline,
	offset int64, db int) error {
	p.Timeline = tl.ID
	if cur, ok := view.Current(); ok {
		limit, on := reach(view, cur, everything)[tl.ID]
		p.OnLine = on && offset <= limit || p.Ahead > 0 && tl.ID == cur.ID
	}
	switch {
	case !p.OnLine && p.Ahead > 0:
		p.Note = "it goes on beyond the journal's end of a history that the server has left"
	case !p.OnLine:
		p.Note = "it is on a branch that the present history does not contain"
	}
	present, branches, err := lacks(ctx, view, tl, offset, db)
	if err != nil {
		return err
	}
	p.Branches, p.Commands = branches, 0
	for _, l := range present {
		p.Lacks += l.To - l.From
		if l.Commands < 0 {
			p.Commands = -1
			p.Note = "not all that it lacks can be counted: " + l.Why
			break
		}
		p.Commands += l.Commands
		if p.Since.IsZero() {
			p.Since = l.Since
		}
	}
	return nil
}

// holder finds the timeline that holds an offset of a history: the newest one, if several do.
func holder(view *journal.View, replID string, offset int64) (out journal.Timeline, ok bool) {
	for _, tl := range view.Timelines() {
		if tl.ReplID == replID && tl.Start <= offset && offset <= tl.End {
			out, ok = tl, true
		}
	}
	return out, ok
}

// beyond finds the timeline of a history whose end lies below an offset: the furthest one.
func beyond(view *journal.View, replID string, offset int64) (out journal.Timeline, ok bool) {
	for _, tl := range view.Timelines() {
		if tl.ReplID == replID && tl.End < offset && (!ok || tl.End >= out.End) {
			out, ok = tl, true
		}
	}
	return out, ok
}

// lookAOF reads an append-only folder and places it by its commands.
func (p *Placement) lookAOF(ctx context.Context, view *journal.View, disk vfs.FS, dir string,
) error {
	p.AOF = true
	a, err := readAOF(ctx, disk, dir)
	if err != nil {
		return err
	}
	p.Created = a.lastTime
	if a.base != nil && a.base.Report != nil {
		p.Header = a.base.Header
		if p.Created.IsZero() {
			p.Created = a.base.Header.Created // at least
		}
	}
	if a.err != nil {
		p.Condition, p.Why = Damaged, a.err.Error()
		return nil
	}
	places, err := placeAOF(ctx, view, a.commands)
	if err != nil {
		return err
	}
	p.Condition, p.Why = Unchecked, "an append-only file carries no checksum, and its commands could "+
		"not be compared with the journal's"
	switch len(places) {
	case 0:
		p.Note = fmt.Sprintf("its commands are not in the journal, or too few to tell (%d)",
			a.commands.count)
		return nil
	case 1:
	default:
		p.Note = fmt.Sprintf("its commands stand in the journal at %d places", len(places))
		return nil
	}
	at := places[0]
	p.judge(a, at.compared)
	p.ReplID, p.Offset, p.Ahead = at.timeline.ReplID, at.offset, at.ahead
	return p.settle(ctx, view, at.timeline, at.offset, -1)
}

// judge rates a folder by its comparison with the journal.
func (p *Placement) judge(a *aofFolder, compared Condition) {
	switch {
	case compared == Damaged:
		p.Condition, p.Why = Damaged, "its commands are not those that the journal received"
	case compared == Sound && a.base != nil && a.base.Proven():
		p.Condition, p.Why = Sound, ""
	case compared == Sound:
		p.Why = "its commands are those that the journal received, but nothing proves its base"
	}
}
