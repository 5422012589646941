package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/journal/vfs"
)

// errWritten means that a client has written since the histories parted.
var errWritten = errors.New("clients have written since")

// resume continues after a repair of the incident that was cut off while it fed the server: the
// server gets its role back, and the lost branch begins at its present end on the server.
func (r *run) resume(ctx context.Context) error {
	if err := r.findWord(); err != nil || r.word.N == 0 {
		return err
	}
	if r.word.Address != "" {
		if _, err := replay.RestoreRole(ctx, r.Live, r.word); err != nil {
			return err
		}
		r.word.Address = ""
		if err := journal.LeaveFeeding(r.FS, r.Dir, r.word); err != nil {
			return err
		}
	}
	if len(r.word.Parts) == 0 || r.word.Diverged || r.branch.from == nil {
		return nil
	}
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	return r.takeFed(ctx)
}

// findWord reads the note about the incident.
func (r *run) findWord() error {
	if r.Dir == "" {
		return nil
	}
	words, err := journal.Feedings(r.FS, r.Dir)
	for _, w := range words {
		if w.Of(&r.branch.in) {
			r.word = w
		}
	}
	return err
}

// takeFed moves the beginning of the lost branch to the place of the feed.
func (r *run) takeFed(ctx context.Context) error {
	b := r.branch
	for _, part := range r.word.Parts {
		if part.From != b.from.Offset {
			continue // a part before it, which is gone
		}
		branch, err := replay.NewBranch(ctx, r.view, b.from, b.to)
		if err != nil {
			return err
		}
		promoted, err := replay.PromotedAt(ctx, r.Live, &part)
		if err != nil {
			return err
		}
		size, at, err := branch.Fed(ctx, r.view, part, promoted)
		if err != nil {
			return err
		}
		if size == 0 {
			continue
		}
		if known, err := r.understood(ctx, &part); !known || err != nil {
			return err
		}
		to, err := replay.Locate(ctx, r.view, replay.Selector{Kind: replay.AtOffset,
			Timeline: b.in.Timeline, Offset: at}, nil)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		fed, err := replay.NewBranch(ctx, r.view, b.from, to)
		if err != nil {
			return err
		}
		b.fed = append(b.fed, journal.Range{From: part.At, To: part.At + size})
		b.from = to
		r.report.Fed += fed.Commands
	}
	return nil
}

// understood makes sure that the server has understood a part of which the feed was cut off. If that
// is not known, it counts for nothing from then on.
func (r *run) understood(ctx context.Context, part *journal.FedPart) (bool, error) {
	if part.Understood {
		return true, nil
	}
	ok, err := replay.Understood(ctx, r.Live, &r.word, part)
	if err != nil {
		return false, err
	}
	if !ok {
		r.word.Diverged = true
	} else {
		i := slices.Index(r.word.Parts, *part)
		r.word.Parts[i].Understood = true
	}
	return ok, journal.LeaveFeeding(r.FS, r.Dir, r.word)
}

// feed feeds the server the lost branch, if that is possible and no client has written since.
// Otherwise it reports false, and the server is as before.
func (r *run) feed(ctx context.Context) (bool, error) {
	b := r.branch
	var why error
	switch {
	case r.Dir == "":
		return false, nil
	case r.Scratch.Server != nil || r.Scratch.Program != "":
		return false, nil // the options ask for it
	case !b.in.IsLoss():
		return false, nil // the comparison determines the loss
	case b.kind != atFork || b.from == nil || len(b.fed) == 0 && b.from.Offset != b.in.From:
		why = errors.New("where the histories part is not known exactly")
	case r.word.Diverged:
		why = errors.New("it did not understand all of what it was fed, or that is not known")
	case b.from.Offset == b.to.Offset: // by the repair before
		r.report.Whole = true
		return true, nil
	default:
		err := r.feedNow(ctx)
		if err == nil {
			return !r.DryRun, nil
		}
		unfed := errors.Is(err, replay.ErrNotFed) || errors.Is(err, replay.ErrDiverged)
		if !unfed || errors.Is(err, replay.ErrFeeding) {
			return false, err
		}
		why = err
		if err := r.undo(ctx); err != nil {
			return false, err
		}
	}
	r.report.NotFed = why.Error()
	switch {
	case !r.FeedOnly:
		return false, nil
	case errors.Is(why, replay.ErrNotFed):
		return false, why
	}
	return false, fmt.Errorf("%w: %w", replay.ErrNotFed, why)
}

// undo reads the note and the journal after a feed that failed.
func (r *run) undo(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := r.findWord(); err != nil {
		return err
	}
	_, err := r.examine(ctx)
	return err
}

func (r *run) feedNow(ctx context.Context) error {
	r.at(phaseFeed, 0)
	notFed := func(err error) error { return fmt.Errorf("%w: %w", replay.ErrNotFed, err) }
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	if err := r.unwritten(ctx, r.view); err != nil {
		return notFed(err)
	}
	branch, err := replay.NewBranch(ctx, r.view, r.branch.from, r.branch.to)
	if err != nil {
		return notFed(err)
	}
	in := &r.branch.in
	word := r.word
	word.N, word.Timeline, word.Noticed = in.N, in.Timeline, in.Time
	o := replay.FeedOptions{Target: r.Live, View: r.view, Fresh: r.Fresh, Branch: branch, Word: word, Watched: r.FeedOnly,
		Check: r.unwritten, Logger: r.Logger, Step: r.step,
		Put: func(w journal.Feeding) error { return journal.LeaveFeeding(r.FS, r.Dir, w) }}
	if r.step != nil {
		r.step("before the claim")
	}
	if r.DryRun {
		err = replay.Feedable(ctx, o)
	} else {
		err = replay.Feed(ctx, o)
	}
	if err != nil {
		return err
	}
	r.report.Fed += branch.Commands
	if r.DryRun {
		return nil
	}
	r.report.Whole = true
	return r.catchUp(ctx) // so that the journal is on the history that the server has begun
}

// unwritten makes sure that all of the server's commands since the histories parted are known, and
// that none of them changed a client's data. The feed itself does not count, nor keys that the
// server removed, such as expired ones, if the lost branch does not need them.
func (r *run) unwritten(ctx context.Context, view *journal.View) error {
	if parts, ok := view.Lineage()[r.branch.in.Timeline]; !ok || parts != r.branch.in.From {
		return errors.New("its history is none that parts from the lost one there")
	}
	if complete, why := r.branch.followed(view); !complete {
		return errors.New(why)
	}
	written, err := view.Written()
	if err != nil {
		return err
	}
	if !written {
		return errors.New("no proxy records what the server executes")
	}
	gone := removed{}
	var first error
	err = r.branch.since(ctx, view, journal.Position{}, func(_ journal.Timeline, c *stream.Command) error {
		if c.Traceless() || gone.take(c) {
			return nil
		}
		first = fmt.Errorf("%w: %.20q at offset %d", errWritten, c.Args[0], c.Start)
		return stream.ErrStop
	})
	if err := errors.Join(err, first); err != nil || gone.within(r.spared) {
		return err
	}
	if err := gone.compare(ctx, r.view, r.branch); err != nil {
		return err
	}
	r.spared = gone
	return nil
}

// removed holds the keys that the live history removed, with their databases.
type removed map[string]map[int]bool

// maxRemoved bounds the names looked for in the lost branch.
const maxRemoved = 1 << 20

// take notes the keys that a command removes. False: it may have another effect.
func (d removed) take(c *stream.Command) bool {
	if !c.Is("DEL") && !c.Is("UNLINK") || c.Cut || c.DB < 0 || len(d)+len(c.Args) > maxRemoved {
		return false
	}
	for _, name := range c.Args[1:] {
		if d[string(name)] == nil {
			d[string(name)] = map[int]bool{}
		}
		d[string(name)][c.DB] = true
	}
	return true
}

// within reports whether another set contains this one.
func (d removed) within(o removed) bool {
	for name, dbs := range d {
		for db := range dbs {
			if !o[name][db] {
				return false
			}
		}
	}
	return true
}

// compare makes sure that the lost branch only removes these keys, if it names them at all. Whether a
// client has removed a key, or it has expired, does not show; a client's DEL stays.
func (d removed) compare(ctx context.Context, view *journal.View, b *lostBranch) error {
	var found error
	swapped := false // then a database's number does not say which keys are meant
	w := replay.Walk{Timeline: b.in.Timeline, From: b.from.Offset, To: b.to.Offset, MaxArg: maxKey}
	err := replay.Commands(ctx, view, w, func(c *stream.Command) error {
		if len(d) == 0 || c.Is("DEL") || c.Is("UNLINK") {
			return nil
		}
		used := func(db int, name []byte) {
			if dbs := d[string(name)]; dbs[db] || dbs != nil && (swapped || db < 0) {
				found = fmt.Errorf("a key was removed since, or has expired, that the lost history uses at offset %d",
					c.Start)
			}
		}
		for _, name := range c.Args[1:] { // also those that it reads only
			used(c.DB, name)
		}
		c.Touches(used, func(int) {
			switch {
			case c.Is("SWAPDB"):
				swapped = true
			case !c.Is("FLUSHDB") && !c.Is("FLUSHALL"):
				found = fmt.Errorf("keys were removed since, or have expired, and what the lost history uses at offset "+
					"%d is not known", c.Start)
			}
		})
		if found != nil {
			return stream.ErrStop
		}
		return nil
	})
	return errors.Join(err, found)
}

// RestoreRole gives a server its role back after a repair that fed it was killed. False: there was
// none. live is the endpoint of servers, and the recorded one's address. It does nothing while a repair is
// running. A nil disk is the machine's.
func RestoreRole(ctx context.Context, disk vfs.FS, dir string, live keyspace.Endpoint) (bool, error) {
	if word, err := unrestored(disk, dir); word == nil {
		return false, err
	}
	unlock, err := Lock(disk, dir)
	if errors.Is(err, ErrRunning) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	word, err := unrestored(disk, dir) // the repair that ended meanwhile may have left another
	if word == nil {
		return false, err
	}
	if word.Server != "" {
		live.Address = word.Server
	}
	restored, err := replay.RestoreRole(ctx, live, *word)
	if err == nil {
		word.Address = ""
		err = journal.LeaveFeeding(disk, dir, *word)
	}
	return restored, err
}

// unrestored is the word about a server that may be a replica of a repair; nil: there is none.
func unrestored(disk vfs.FS, dir string) (*journal.Feeding, error) {
	words, err := journal.Feedings(disk, dir)
	for i := range words {
		if words[i].Address != "" {
			return &words[i], err
		}
	}
	return nil, err
}
