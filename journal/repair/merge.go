package repair

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/keyspace"
	"holdfast/journal/scratch"
	"holdfast/journal/stream"
)

// merge compares the keys on the live server with the end of the lost branch, and puts keys back.
func (r *run) merge(ctx context.Context, theirs *scratch.Server) (err error) {
	source, err := keyspace.Open(ctx, theirs.Endpoint)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := keyspace.Open(ctx, r.Live)
	if err != nil {
		return err
	}
	defer target.Close()
	if r.pace, err = keyspace.NewPace(ctx, r.Live, r.Rate); err != nil {
		return err
	}
	defer func() {
		r.report.Paused = r.pace.Paused()
		r.pace.Close()
	}()
	if err := r.list(ctx, source); err != nil {
		return err
	}
	if k := r.branch.kind; k == beyondMark || k == fromElsewhere ||
		k == atFork && r.branch.from == nil {
		if err := r.list(ctx, target); err != nil {
			return err
		}
	}
	if err := r.readSince(ctx); err != nil {
		return err
	}
	m := &merging{run: r, source: source, target: target}
	if m.room, err = keyspace.NewRoom(ctx, target); err != nil {
		return err
	}
	r.at(phaseMerge, 0)
	if err := r.pile.each(func(part map[keyspace.Key]*entry) error { return m.part(ctx, part) }); err != nil {
		return err
	}
	if r.functions {
		if err := m.functions(ctx, theirs.Endpoint); err != nil {
			return err
		}
	}
	if r.DryRun {
		return nil
	}
	return m.verify(ctx)
}

// readSince records the keys that the live history has written, up to the journal's present end.
func (r *run) readSince(ctx context.Context) error {
	r.at(phaseSince, 0)
	if err := r.catchUp(ctx); err != nil {
		return err
	}
	if !r.branch.complete {
		r.report.Incomplete = r.branch.why
	}
	return r.scanSince(ctx)
}

func (r *run) scanSince(ctx context.Context) error {
	t := &touches{sign: signOf(&r.branch.in)}
	note := func(kind byte) func(int, []byte) {
		return func(db int, name []byte) {
			if err := r.pile.note(kind, db, name); err != nil {
				t.err = err
			}
		}
	}
	t.key, t.signed, t.added = note(noteWritten), note(noteSettled), note(noteAddedTo)
	t.whole = func(db int) { r.sinceW[db] = true }
	limits := r.view.Lineage()
	return r.branch.since(ctx, r.view, r.upTo, func(tl journal.Timeline, c *stream.Command) error {
		// A range that the server has lost again counts as written, and not as settled.
		t.limit = limits[tl.ID]
		return t.take(c)
	})
}

// catchUp waits until the journal has all of the live server's stream by now, and looks at it. A
// server that is not recorded leaves the live history incomplete.
func (r *run) catchUp(ctx context.Context) error {
	now, err := r.examine(ctx)
	if err != nil {
		return err
	}
	for until := time.Now().Add(catchUpTimeout); ; {
		if r.view, err = r.Fresh(); err != nil {
			return err
		}
		cur, _ := r.view.Current()
		if cur.ReplID == now.replID && cur.End >= now.offset {
			if _, ok := r.view.Incident(r.Incident); !ok {
				return fmt.Errorf("%w: incident %d is gone", ErrIncident, r.Incident)
			}
			r.branch.fill(ctx, r.view, r.Live, now.replID)
			r.branch.follow(r.view)
			return nil
		}
		if time.Now().After(until) {
			r.branch.complete, r.branch.unseen = false, unknownCommands
			r.branch.why = fmt.Sprintf("the journal's present is offset %d of %s, and the server is at "+
				"%d of %s: no proxy records it", cur.End, cur.ReplID, now.offset, now.replID)
			return nil
		}
		if err := ctxtime.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

const catchUpTimeout = 5 * time.Second

// merging is the merge of one repair.
type merging struct {
	*run
	source, target *keyspace.Server
	room           *keyspace.Room
	keys           map[keyspace.Key]*entry // of the loaded part
	why            map[keyspace.Key]string // of the conflicts
	looked         int64
}

// part merges a bounded number of keys.
func (m *merging) part(ctx context.Context, part map[keyspace.Key]*entry) error {
	m.keys, m.why = part, map[keyspace.Key]string{}
	var keys []keyspace.Key
	for _, k := range sorted(part) {
		switch e := part[k]; {
		case !e.touched || stream.IsOwn(k.Name):
		case e.settled && m.room.Evicted() == 0:
			m.report.Touched++
			m.report.Settled++
		default:
			m.report.Touched++
			keys = append(keys, k)
		}
	}
	return keyspace.Sync(ctx, keyspace.Options{Source: m.source, Target: m.target, Decide: m.decide,
		Base: m.base, Pace: m.pace, Room: m.room, Sign: SignKey, SignValue: signOf(&m.branch.in)},
		keyspace.KeysOf(keys), m.take)
}

func (m *merging) base(k keyspace.Key) keyspace.Print { return m.keys[k].base }

// decision is the rule's outcome for a key that is not the same.
type decision int

const (
	putBack decision = iota
	leaveOurs
	conflict
)

// rule is the three-way merge, for a key of which ours is not theirs.
func (m *merging) rule(k keyspace.Key, c *keyspace.Comparison) (decision, string) {
	switch settled := m.keys[k].settled; {
	case settled && c.Relation == keyspace.Missing:
		return conflict, "gone since a repair put it back: evicted, or deleted by a client"
	case settled:
		return leaveOurs, ""
	}
	written := m.keys[k].written || m.sinceW[-1] || m.sinceW[k.DB]
	if d, clear := m.clear(c, written); clear {
		return d, ""
	}
	known := m.baseKnown()
	switch {
	case written && c.Relation == keyspace.Missing:
		return conflict, "deleted, or expired, on the live server since, and changed in the lost branch"
	case written:
		return conflict, "written on the live server since"
	case m.branch.kind == fromElsewhere:
		return conflict, "what it was before is not known"
	case !known:
		return conflict, "its value of before is not known, and the writes since are not known to their end"
	case c.TargetSince == keyspace.Unknown:
		return conflict, "whether the live server has changed it cannot be told"
	}
	return conflict, "it is not what it was where the histories part"
}

// baseKnown reports whether the values before the lost branch are known.
func (m *merging) baseKnown() bool { return m.branch.from != nil || m.branch.kind == fromNothing }

// clear decides about a key where ours and theirs do not contradict each other. written: clients may
// have written it on the live server since.
func (m *merging) clear(c *keyspace.Comparison, written bool) (d decision, clear bool) {
	unwritten := !written && m.branch.complete
	switch m.branch.kind {
	case fromElsewhere:
		return putBack, c.Relation == keyspace.Missing && !written
	case atFork:
		if m.branch.from != nil && c.SourceSince == keyspace.Same {
			if len(m.branch.fed) > 0 && unwritten {
				// Redis 8 does not count a flush before the flushed keys are freed. A feed that is cut
				// off then has flushed keys that still exist at the offset it reached.
				return putBack, true
			}
			return leaveOurs, true
		}
		if !m.baseKnown() && unwritten {
			return putBack, true
		}
	case beyondMark:
		if unwritten { // then it has the lost branch's state of some place
			return putBack, true
		}
	}
	return putBack, !written && m.baseKnown() && c.TargetSince == keyspace.Same
}

func (m *merging) decide(c keyspace.Comparison) keyspace.Action {
	d, why := m.rule(c.Key, &c)
	delete(m.why, c.Key)
	switch {
	case d == leaveOurs:
		m.why[c.Key] = ""
		return keyspace.Leave
	case d == conflict:
		m.why[c.Key] = why
		if m.Conflicts != Replace {
			return keyspace.Leave
		}
	}
	if m.DryRun {
		return keyspace.Leave
	}
	return keyspace.Write
}

// take counts a key's outcome.
func (m *merging) take(res keyspace.Result) error {
	if m.looked++; m.looked%1024 == 0 {
		m.at(phaseMerge, m.looked)
	}
	why, asked := m.why[res.Key]
	rep := &m.report
	switch {
	case res.Relation == keyspace.Unknown:
		rep.Failed++
		m.item(res.Key, "failed", fmt.Sprintf("not compared: %v", res.Err))
		return nil
	case res.Relation == keyspace.Same:
		rep.Same++
		switch e := m.keys[res.Key]; {
		case e.settled: // whatever clients have done on top
		case e.added && e.addedTo:
			rep.Conflicts++
			m.item(res.Key, "conflict", "equal by chance: both histories have added to it, or taken from it")
		case e.added && m.branch.unseen != "":
			rep.Conflicts++
			m.item(res.Key, "conflict", "equal, perhaps by chance: the lost branch has added to it, or taken "+
				"from it, and so may "+m.branch.unseen+", which the journal has not seen")
		}
		return nil
	case asked && why == "" && m.keys[res.Key].settled:
		rep.Settled++
		return nil
	case asked && why == "":
		rep.Ours++
		return nil
	case asked:
		rep.Conflicts++
		m.item(res.Key, "conflict", why)
		if m.Conflicts != Replace || m.DryRun {
			return nil
		}
	}
	return m.written(res, asked)
}

// written counts the outcome of a due write.
func (m *merging) written(res keyspace.Result, replaced bool) error {
	rep := &m.report
	switch res.Outcome {
	case keyspace.Written, keyspace.Deleted:
		switch {
		case replaced:
			rep.Replaced++
		case res.Outcome == keyspace.Deleted:
			rep.Deleted++
		default:
			rep.Restored++
		}
		name := []byte(res.Key.Name)
		return m.pile.put(noteDone, m.pile.hash(res.Key.DB, name), res.Key.DB, name, nil)
	case keyspace.Conflict:
		if !replaced {
			rep.Conflicts++
			m.item(res.Key, "conflict", "written on the live server while it was put back")
			return nil
		}
		rep.Failed++ // a replacement was due
		m.item(res.Key, "failed", "a client writes it again and again")
	case keyspace.Left: // a dry run
		if what := "restore"; res.Relation == keyspace.Extra {
			rep.Deleted++
			m.item(res.Key, "delete", "")
		} else {
			rep.Restored++
			m.item(res.Key, what, "")
		}
	default:
		rep.Failed++
		m.item(res.Key, "failed", fmt.Sprint(res.Reason))
	}
	return nil
}

func (r *run) item(k keyspace.Key, what, why string) {
	if r.Item != nil {
		r.Item(Item{k, what, why})
	}
}

// verify compares the written keys once more. A key that differs by now is right if a client has
// written it since, by the stream.
func (m *merging) verify(ctx context.Context) error {
	m.at(phaseVerify, 0)
	differ := map[keyspace.Key]bool{}
	err := m.pile.each(func(part map[keyspace.Key]*entry) error {
		var keys []keyspace.Key
		for _, k := range sorted(part) {
			if part[k].done {
				keys = append(keys, k)
			}
		}
		return keyspace.Sync(ctx, keyspace.Options{Source: m.source, Target: m.target, Pace: m.pace},
			keyspace.KeysOf(keys), func(res keyspace.Result) error {
				if res.Relation == keyspace.Same {
					m.report.Verified++
				} else {
					differ[res.Key] = true
				}
				return nil
			})
	})
	if err != nil || len(differ) == 0 {
		return err
	}
	// The stream does not tell an eviction from a client's DEL.
	if err := m.room.Check(ctx); err != nil {
		return err
	}
	return m.explain(ctx, differ)
}

// explain finds in the live history the writers of keys that differ after they were put back.
func (m *merging) explain(ctx context.Context, differ map[keyspace.Key]bool) error {
	m.upTo.Timeline, m.upTo.Offset = 0, 0
	if err := m.catchUp(ctx); err != nil {
		return err
	}
	clear(m.sinceW)
	if err := m.scanSince(ctx); err != nil {
		return err
	}
	return m.pile.each(func(part map[keyspace.Key]*entry) error {
		for k := range part {
			switch e := part[k]; {
			case !differ[k]:
			case m.branch.complete && (e.again || m.sinceW[-1] || m.sinceW[k.DB]):
				m.report.Later++
			default:
				m.report.Failed++
				m.item(k, "failed", "it is not what was put back, and nothing recorded says why")
			}
		}
		return nil
	})
}

// sorted lists keys by database and name.
func sorted(part map[keyspace.Key]*entry) []keyspace.Key {
	return slices.SortedFunc(maps.Keys(part), keyspace.Key.Compare)
}

var errLibraries = errors.New("the libraries of functions cannot be compared")
