package putback

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strconv"
	"time"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/scratch"
)

// The errors of Run, in addition to those of the packages that do the work.
var (
	// ErrTarget says that the target cannot be written to.
	ErrTarget = errors.New("the target cannot be used")
	// ErrSpan says that a span is not on the history that the server has.
	ErrSpan = errors.New("these commands cannot be undone")
	// ErrConflicts says that there are conflicts, and nothing was written because of List.
	ErrConflicts = errors.New("conflicts")
	// ErrIncomplete says that some keys do not have, or may not have, their state at the point.
	ErrIncomplete = errors.New("not everything was put back")
)

// running is a Run.
type running struct {
	Options
	point          int64
	control        *keyspace.Server // asks the target for its offset
	source, target *keyspace.Server
	room           *keyspace.Room
	replID         string    // of the target; "": the journal does not record it
	marks          *marks    // nil: no span
	follower       *follower // likewise
	unshifted      map[keyspace.Key]bool
	sum            Summary
	dry            bool
}

// Run puts keys back. If the error is nil, each chosen key has its state at the point, or is a
// conflict that was left.
func Run(ctx context.Context, o Options) (Summary, error) {
	r := &running{Options: o, point: o.Plan.Point.Offset, dry: o.DryRun || o.Conflicts == List}
	if o.Match == nil {
		r.Match = func(string) bool { return true }
	}
	began := time.Now()
	err := r.run(ctx)
	r.sum.Took = time.Since(began)
	return r.sum, err
}

func (r *running) run(ctx context.Context) error {
	if err := r.meet(ctx); err != nil {
		return err
	}
	defer r.control.Close()
	if r.Span != nil {
		if err := r.readSpan(ctx); err != nil {
			return err
		}
	}
	if r.Shift {
		r.shift()
	}
	s, err := scratch.Rebuild(ctx, r.Scratch, replay.RestoreOptions{View: r.View, Plan: r.Plan,
		Progress: r.Restoring, Logger: r.Logger})
	if err != nil {
		return err
	}
	r.sum.Scratch = s.About
	return errors.Join(r.with(ctx, s), s.Close())
}

// meet reads the target's state.
func (r *running) meet(ctx context.Context) error {
	c, err := keyspace.Open(ctx, r.Into)
	if err != nil {
		return err
	}
	info, err := c.Info(ctx, "replication", "persistence")
	switch {
	case err != nil:
	case info["role"] != "master":
		err = fmt.Errorf("%w: %s is a replica of %s; write to that, its primary", ErrTarget, r.Into.Address,
			net.JoinHostPort(info["master_host"], info["master_port"]))
	case info["loading"] == "1":
		err = fmt.Errorf("%w: it is still loading", ErrTarget)
	}
	if err != nil {
		return errors.Join(err, c.Close())
	}
	r.control = c
	if cur, ok := r.View.Current(); ok && cur.ReplID == info["master_replid"] {
		r.replID, r.sum.Recorded = cur.ReplID, true
	}
	return nil
}

// readSpan reads the stream from the point on.
func (r *running) readSpan(ctx context.Context) error {
	cur, ok := r.View.Current()
	switch {
	case !ok || !onHistory(r.View, cur, r.Plan.Point.Timeline.ID, r.Span.To):
		return fmt.Errorf("%w: they are on timeline %d, which the server has left: what it has now does "+
			"not come from them", ErrSpan, r.Plan.Point.Timeline.ID)
	case r.Span.From < r.point || r.Span.To < r.Span.From:
		return fmt.Errorf("%w: they must begin at the point, offset %d, or behind it, and end behind "+
			"their beginning; they are from %d to %d", ErrSpan, r.point, r.Span.From, r.Span.To)
	}
	r.marks = newMarks(r.point, *r.Span, r.By)
	r.sum.Names = r.marks.names
	var err error
	if r.follower, err = newFollower(r.View, r.Open, cur.ID, r.point, r.marks.take); err != nil {
		return err
	}
	r.follower.patience = r.Patience
	if err := r.follower.read(ctx, r.View); err != nil {
		return err
	}
	if f := r.follower; f.lost != nil && f.scanner.Offset() < r.Span.To {
		return fmt.Errorf("%w: %w", ErrSpan, f.lost)
	}
	return nil
}

// onHistory reports whether an offset of a timeline belongs to a history.
func onHistory(view *journal.View, tl journal.Timeline, id journal.TimelineID, offset int64) bool {
	for tl.ID != id {
		parent, ok := view.Timeline(tl.Parent)
		if !ok || offset > tl.Fork {
			return false
		}
		tl = parent
	}
	return true
}

// shift makes the plan move deadlines on.
func (r *running) shift() {
	at := r.Plan.Point.Time
	if at.IsZero() {
		at = r.Plan.Base.Time
	}
	now := r.Now
	if now.IsZero() {
		now = time.Now()
	}
	by := now.Sub(at)
	if r.Span != nil && len(r.marks.within) == 0 {
		shiftNamed(r.Plan, by, r.named())
		return
	}
	dbs := r.DBs
	if len(dbs) == 0 {
		for db := range r.Plan.Needs.MaxDB + 1 {
			dbs = append(dbs, db)
		}
	}
	shiftMatching(r.Plan, by, r.patterns(), dbs)
}

func (r *running) patterns() []string {
	if len(r.Patterns) == 0 {
		return []string{"*"}
	}
	return r.Patterns
}

// named lists the chosen keys that the span names.
func (r *running) named() (keys []keyspace.Key) {
	for k, m := range r.marks.keys {
		if m.within && r.chosen(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, keyspace.Key.Compare)
	return keys
}

// chosen reports whether a key is selected, the span aside.
func (r *running) chosen(k keyspace.Key) bool {
	return !isOwn(k.Name) && r.Match(k.Name) && (r.Without == nil || !r.Without(k.DB)) &&
		(len(r.DBs) == 0 || slices.Contains(r.DBs, k.DB))
}

// with puts keys back from a scratch server.
func (r *running) with(ctx context.Context, s *scratch.Server) (err error) {
	if r.source, err = keyspace.Open(ctx, s.Endpoint); err != nil {
		return err
	}
	defer r.source.Close()
	if err := r.readUnshifted(ctx); err != nil {
		return err
	}
	if r.target, err = keyspace.Open(ctx, r.Into); err != nil {
		return err
	}
	defer r.target.Close()
	if r.room, err = keyspace.NewRoom(ctx, r.target); err != nil {
		return err
	}
	pace, err := keyspace.NewPace(ctx, r.Into, r.Rate)
	if err != nil {
		return err
	}
	defer pace.Close()
	err = r.pass(ctx, pace)
	if err == nil && r.Conflicts == List && !r.DryRun && r.sum.Count[Conflicted] == 0 {
		r.dry, r.Conflicts, r.sum.Count = false, Skip, [len(actionNames)]int64{}
		err = r.pass(ctx, pace)
	}
	r.sum.Paused = pace.Paused()
	switch n := r.sum.Count[Conflicted]; {
	case err != nil:
		return err
	case r.Conflicts == List && !r.DryRun && n > 0:
		return fmt.Errorf("%w: %d; nothing was written", ErrConflicts, n)
	case r.sum.open() > 0:
		return fmt.Errorf("%w: %s", ErrIncomplete, r.sum.missing())
	}
	return nil
}

// missing words the unfinished part.
func (s *Summary) missing() (text string) {
	for _, a := range []Action{Failed, Unknown, Unsure, Unproven} {
		if n := s.Count[a]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += strconv.FormatInt(n, 10) + " " + a.String()
		}
	}
	return text
}

// pass goes over the keys once.
func (r *running) pass(ctx context.Context, pace *keyspace.Pace) error {
	o := keyspace.Options{Source: r.source, Target: r.target, Pace: pace, Room: r.room, Decide: r.decide,
		Verify: true}
	if r.tracked() {
		o.Compared = r.catchUp
	}
	if err := keyspace.Sync(ctx, o, r.keys(ctx), r.take); err != nil {
		return err
	}
	extra := r.keysSince(ctx)
	if extra == nil {
		return nil
	}
	return keyspace.Sync(ctx, o, extra, func(one keyspace.Result) error {
		if one.Source.Exists || one.Relation == keyspace.Same {
			return nil // compared before, or gone
		}
		return r.take(one)
	})
}

// keys are the chosen ones that the scratch server may hold.
func (r *running) keys(ctx context.Context) iter.Seq2[keyspace.Key, error] {
	if r.Span == nil {
		return r.filter(r.source, ctx, r.DBs)
	}
	named := keyspace.KeysOf(r.named())
	if len(r.marks.within) == 0 {
		return named
	}
	return r.filter(r.source, ctx, r.touchedDBs())
}

// keysSince are the chosen ones that the target holds and the scratch server may not; nil: none, or
// among keys.
func (r *running) keysSince(ctx context.Context) iter.Seq2[keyspace.Key, error] {
	switch {
	case r.Span == nil && r.Conflicts != Skip:
		return r.filter(r.target, ctx, r.DBs)
	case r.Span != nil && len(r.marks.within) > 0:
		return r.filter(r.target, ctx, r.touchedDBs())
	}
	return nil
}

// touchedDBs are the databases that hold keys which the span may have touched; none: all.
func (r *running) touchedDBs() (dbs []int) {
	if r.marks.within[-1] {
		return r.DBs
	}
	for db := range r.marks.within {
		if len(r.DBs) == 0 || slices.Contains(r.DBs, db) {
			dbs = append(dbs, db)
		}
	}
	for k, m := range r.marks.keys {
		if m.within && r.chosen(k) && !slices.Contains(dbs, k.DB) {
			dbs = append(dbs, k.DB)
		}
	}
	slices.Sort(dbs)
	return dbs
}

// filter lists the chosen keys of a server, in databases; none: in all.
func (r *running) filter(s *keyspace.Server, ctx context.Context, dbs []int) iter.Seq2[keyspace.Key, error] {
	pattern := ""
	if len(r.Patterns) == 1 {
		pattern = r.Patterns[0]
	}
	return func(yield func(keyspace.Key, error) bool) {
		for k, err := range s.Keys(ctx, pattern, dbs...) {
			if err == nil && (!r.chosen(k) || r.Span != nil && !r.touched(k)) {
				continue
			}
			if !yield(k, err) {
				return
			}
		}
	}
}

// touched reports whether the span may have touched a key.
func (r *running) touched(k keyspace.Key) bool {
	m := r.marks.keys[k]
	return m != nil && m.within || has(r.marks.within, k.DB)
}

// tracked reports whether the journal records the target's writes.
func (r *running) tracked() bool { return r.Span != nil && r.sum.Recorded }

// catchUp reads the journal up to the target's present offset.
func (r *running) catchUp(ctx context.Context) error {
	info, err := r.control.Info(ctx, "replication")
	if err != nil {
		return err
	}
	if info["master_replid"] != r.replID {
		return fmt.Errorf("%w: its history is another since a moment ago", ErrTarget)
	}
	if info["connected_slaves"] == "0" && info["repl_backlog_active"] != "1" {
		return fmt.Errorf("%w: nothing is attached to the server, which then counts no offsets; start the "+
			"proxy that records it", ErrBehind)
	}
	at, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: its INFO has no offset", ErrTarget)
	}
	return r.follower.reach(ctx, at)
}

// conflict reports whether another command has written a key since the point.
func (r *running) conflict(c keyspace.Comparison) bool {
	if r.tracked() {
		return r.follower.lost != nil || r.marks.conflict(c.Key, c.Source.Deadline)
	}
	return c.Target.Exists
}

func (r *running) decide(c keyspace.Comparison) keyspace.Action {
	if r.dry || r.unshifted[c.Key] || r.Conflicts != Replace && r.conflict(c) {
		return keyspace.Leave
	}
	return keyspace.Write
}

// take counts and reports a result.
func (r *running) take(one keyspace.Result) error {
	item := Item{Key: one.Key, What: one.What, Why: one.Reason}
	item.Action = r.action(one)
	switch item.Action {
	case Unknown:
		if item.Why = one.Err; item.Why == nil {
			item.Why = errUnshifted
		}
	case Conflicted:
		if item.Why == nil {
			item.Why = r.why()
		}
	}
	r.sum.Count[item.Action]++
	if r.Progress != nil {
		r.Progress(r.sum)
	}
	if r.Report == nil || item.Action == Same {
		return nil
	}
	return r.Report(item)
}

// why explains a key's conflict.
func (r *running) why() error {
	if r.tracked() {
		return errors.New("another command has written it since the point")
	}
	return errors.New("the target holds it, and nothing says who wrote it")
}

func (r *running) action(one keyspace.Result) Action {
	switch {
	case one.Relation == keyspace.Unknown, r.unshifted[one.Key]:
		return Unknown
	case one.Outcome == keyspace.Failed:
		return Failed
	case one.Outcome == keyspace.Unsure:
		return Unsure
	case one.Outcome == keyspace.Conflict:
		return Conflicted
	case one.Relation == keyspace.Same:
		return Same
	case one.Outcome == keyspace.Left && (!r.dry || r.Conflicts != Replace && r.conflict(one.Comparison)):
		return Conflicted
	case one.Outcome != keyspace.Left && !one.Verified:
		return Unproven
	case one.Relation == keyspace.Missing:
		return PutBack
	case one.Relation == keyspace.Extra:
		return Removed
	}
	return Replaced
}
