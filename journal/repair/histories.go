package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
)

// A lostBranch is the journal's record of an incident: the lost branch's beginning and end, and the
// known state of the live server at the place where the histories part.
//
//	lost timeline   ───────────┬ ─ ─ ─ ─ ─ ─ ─ ┤ To      theirs: the state there
//	                           │ From                     base: the state there
//	live history               └──────────────▶ now       ours: the state now
type lostBranch struct {
	in    journal.Incident
	from  *replay.Point // nil: that state cannot be rebuilt
	to    *replay.Point
	kind  origin
	fed   []journal.Range // of the live history: the parts of the lost branch already fed to the server
	whole bool            // compare all databases: the tail does not name all of its keys
	gap   *journal.Gap    // of the live history, at its beginning; nil: the journal has that
	own   []byte          // the server's commands there, from its own backlog
	// complete: all of the live server's commands since the histories parted are in the journal.
	// until is the end of that part.
	complete bool
	why      string // the reason against complete
	// unseen names the commands that the live server executed before the journal followed it again
	// and that may have added to a key; "": none did.
	unseen string
}

// origin is the state that the live history began with.
type origin int

const (
	// atFork: exactly the state at From.
	atFork origin = iota
	// beyondMark: the state at some place between From and the certain loss.
	beyondMark
	// fromNothing: no key at all.
	fromNothing
	// fromElsewhere: data older than the timeline, or another server's.
	fromElsewhere
)

var (
	// ErrIncident means that there is nothing to repair: no such incident, or it is closed.
	ErrIncident = errors.New("no incident to repair")
	// ErrUnreadable means that the journal does not lead to the end of the lost branch.
	ErrUnreadable = errors.New("the lost branch cannot be rebuilt")
)

// newLostBranch looks an incident up.
func newLostBranch(ctx context.Context, view *journal.View, n int) (*lostBranch, error) {
	in, ok := view.Incident(n)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: there is no incident %d; the journal records one when it follows the server again",
			ErrIncident, n)
	case !in.Open():
		return nil, fmt.Errorf("%w: incident %d is closed (%s)", ErrIncident, n, in.How)
	}
	b := &lostBranch{in: in, kind: originOf(&in)}
	b.whole = b.kind == fromNothing || b.kind == fromElsewhere
	var err error
	b.to, err = replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset, Timeline: in.Timeline,
		Offset: in.To}, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if !b.whole {
		b.from, err = replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset,
			Timeline: in.Timeline, Offset: in.From}, nil)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // the oldest base is younger: the stream alone must do
			b.from = nil
		}
	}
	b.follow(view)
	return b, nil
}

// follow checks how completely the journal records the live history.
func (b *lostBranch) follow(view *journal.View) {
	b.complete, b.why = b.followed(view)
	if b.complete && b.early() {
		b.complete, b.why = false, "clients may have written between the server's start and the first record"
		b.unseen = adding(&b.in)
	} else if !b.complete {
		b.unseen = unknownCommands
	}
}

// early reports whether clients may have written before the journal followed the server again.
func (b *lostBranch) early() bool { return b.in.Replaced && !b.in.Untouched && !b.in.Empty }

const unknownCommands = "commands that are not known"

// adding names the early commands that may have added to a key.
func adding(in *journal.Incident) string {
	if in.Early == nil {
		return unknownCommands
	}
	names := slices.DeleteFunc(slices.Clone(in.Early), func(name string) bool { return !stream.AddsByName(name) })
	return strings.Join(names, ", ")
}

func originOf(in *journal.Incident) origin {
	switch {
	case !in.Replaced:
		return atFork
	case in.Empty:
		return fromNothing
	case in.Whole:
		return fromElsewhere
	}
	return beyondMark
}

// followed reports whether the journal has all of the server's commands since the tap attached
// again after an incident, up to the end of the current timeline.
func (b *lostBranch) followed(view *journal.View) (bool, string) {
	in := &b.in
	last := journal.Timeline{ID: in.Timeline, End: in.From}
	for _, tl := range view.Timelines() {
		if tl.ID <= in.Timeline {
			continue
		}
		first := last.ID == in.Timeline
		switch {
		case first && in.Replaced:
		case tl.Parent == 0:
			return false, fmt.Sprintf("timeline %d begins with a history of its own", tl.ID)
		case tl.Start > tl.Fork:
			return false, fmt.Sprintf("timeline %d lacks offsets %d to %d", tl.ID, tl.Fork, tl.Start)
		}
		last = tl
	}
	for _, g := range view.Gaps() {
		if g.Timeline > in.Timeline && (b.own == nil || g.Timeline != b.gap.Timeline || g.From != b.gap.From) {
			return false, fmt.Sprintf("timeline %d lacks offsets %d to %d", g.Timeline, g.From, g.To)
		}
	}
	return true, ""
}

// fill reads the missing beginning of the live history from the server's backlog: its commands
// before the tap attached. Often these are only the removals of keys that expired meanwhile.
func (b *lostBranch) fill(ctx context.Context, view *journal.View, e keyspace.Endpoint, replID string) {
	if b.kind != atFork || b.own != nil {
		return
	}
	for _, g := range view.Gaps() {
		tl, _ := view.Timeline(g.Timeline)
		if limit, ok := view.Lineage()[tl.ID]; !ok || g.To > limit || g.Timeline <= b.in.Timeline ||
			tl.Parent != b.in.Timeline || g.From != tl.Fork || g.From != b.in.From {
			continue
		}
		own, err := replay.Backlog(ctx, e, replID, g.From, g.To)
		if err == nil { // else it stays unknown, as followed reports
			b.gap, b.own = &g, own
		}
		return
	}
}

// tail reads the keys of the lost branch.
func (b *lostBranch) tail(ctx context.Context, view *journal.View, t *touches) error {
	w := replay.Walk{Timeline: b.in.Timeline, From: b.in.From, To: b.in.To, MaxArg: maxKey}
	if b.from != nil {
		w.From = b.from.Offset
	}
	w.Gap = func(g journal.Gap) { t.whole(-1) } // a key written in it is in neither
	return replay.Commands(ctx, view, w, t.take)
}

// since calls fn for the commands of the live history: everything that was recorded after the
// incident, from a position on, except the feed.
func (b *lostBranch) since(ctx context.Context, view *journal.View, from journal.Position,
	fn func(journal.Timeline, *stream.Command) error) error {
	limits := view.Lineage()
	stopped := false
	if from.Timeline == 0 && b.own != nil {
		tl, _ := view.Timeline(b.gap.Timeline)
		sc := stream.NewScanner(stream.Options{Offset: b.gap.From, DB: -1, MaxArg: maxKey})
		err := sc.Feed(b.gap.Time, b.own, func(c *stream.Command) error { return fn(tl, c) })
		if errors.Is(err, stream.ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	for _, tl := range view.Timelines() {
		if tl.ID <= b.in.Timeline || tl.ID < from.Timeline {
			continue
		}
		w := replay.Walk{Timeline: tl.ID, From: tl.Start, To: tl.End, MaxArg: maxKey,
			Gap: func(journal.Gap) {}} // followed reports it
		if tl.ID == from.Timeline {
			w.From = max(w.From, from.Offset)
		}
		if w.From >= tl.End {
			continue
		}
		err := replay.Commands(ctx, view, w, func(c *stream.Command) error {
			for _, r := range b.fed {
				if c.Start >= r.From && c.Start < min(r.To, limits[tl.ID]) {
					return nil
				}
			}
			err := fn(tl, c)
			stopped = stopped || errors.Is(err, stream.ErrStop)
			return err
		})
		if err != nil || stopped {
			return err
		}
	}
	return nil
}

// maxKey is the longest name of a key that is compared whole.
const maxKey = 1 << 20

// touches takes the commands of a stream and reports the keys and databases that they touch.
type touches struct {
	key   func(db int, name []byte)
	whole func(db int)
	added func(db int, name []byte) // is called in addition to key, where the command is relative
	// signed, if not nil, gets the keys in transactions that a repair of the incident named
	// sign has signed; key is not.
	signed    func(db int, name []byte)
	sign      string
	limit     int64 // only transactions that end below it are
	functions bool  // libraries of functions were changed
	ours      bool  // within such a transaction
	err       error
}

func (t *touches) take(c *stream.Command) error {
	if t.signed != nil && isSign(c) {
		t.ours = c.Is("SET") && string(c.Args[2]) == t.sign && c.Tx == stream.TxInside &&
			c.Start < t.limit
		return t.err
	}
	if c.Tx != stream.TxInside {
		t.ours = false
	}
	if c.IsMark() {
		return t.err
	}
	if c.Is("FUNCTION") {
		t.functions = true
	}
	if t.ours {
		c.Touches(t.signed, t.whole)
		return t.err
	}
	c.Touches(t.key, t.whole)
	if c.Relative() {
		c.Touches(t.added, func(int) {})
	}
	return t.err
}

// SignKey is the key that a repair's transactions set first and delete last (keyspace.Options.Sign).
const SignKey = stream.RepairKey

func isSign(c *stream.Command) bool {
	return len(c.Args) > 1 && string(c.Args[1]) == SignKey && (c.Is("SET") && len(c.Args) == 3 ||
		c.Is("DEL") || c.Is("UNLINK"))
}

// signOf is the value of SignKey for an incident.
func signOf(in *journal.Incident) string {
	return strconv.Itoa(in.N) + " " + strconv.FormatUint(uint64(in.Timeline), 10) + " " +
		strconv.FormatInt(in.From, 10)
}
