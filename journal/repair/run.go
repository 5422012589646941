package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/scratch"
	"holdfast/journal/stream"
)

// ErrLive means that the live server cannot be repaired in its present state: it is a replica,
// loads, or refuses.
var ErrLive = errors.New("the server cannot be repaired")

// run is one repair. It belongs to one goroutine.
type run struct {
	Options
	report    Report
	branch    *lostBranch
	view      *journal.View
	pile      *pile
	wholes    map[int]bool // databases that are compared as a whole; -1: all
	sinceW    map[int]bool // databases that the live history changed as a whole
	pace      *keyspace.Pace
	began     time.Time
	upTo      journal.Position  // end of the live history read so far
	functions bool              // the lost branch may have changed libraries of functions
	libs      map[string]string // libraries of functions where the histories part; nil: unknown
	spared    removed           // keys that are gone on the live server, and that a feed does not need
	word      journal.Feeding   // about feeds of this incident; N 0: none
}

// Run repairs an incident. The report comes with an error, too, up to that point. Without one,
// Report.Done says whether the incident may be closed, which is the caller's task.
func Run(ctx context.Context, o Options) (*Report, error) {
	r := &run{Options: o, began: time.Now(), wholes: map[int]bool{}, sinceW: map[int]bool{}}
	r.report.Mode, r.report.DryRun = o.Conflicts.String(), o.DryRun
	err := r.run(ctx)
	if err == nil {
		r.report.rule(r.branch.complete)
	}
	r.report.Took = time.Since(r.began)
	return &r.report, err
}

func (r *run) run(ctx context.Context) (err error) {
	if r.view, err = r.Fresh(); err != nil {
		return err
	}
	if r.branch, err = newLostBranch(ctx, r.view, r.Incident); err != nil {
		return err
	}
	r.report.Incident = r.branch.in
	if err := r.resume(ctx); err != nil {
		return err
	}
	if _, err := r.examine(ctx); err != nil {
		return err
	}
	if done, err := r.feed(ctx); done || err != nil {
		return err
	}
	if r.FeedOnly {
		return replay.ErrNotFed
	}
	return r.byKeys(ctx)
}

// byKeys puts back the missing state, key by key.
func (r *run) byKeys(ctx context.Context) (err error) {
	if r.GiveWay != nil {
		r.GiveWay()
	}
	r.pile = newPile(r.TempDir)
	defer func() { err = errors.Join(err, r.pile.close()) }()
	if err := r.readTail(ctx); err != nil {
		return err
	}
	theirs, err := r.rebuild(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	return r.merge(ctx, theirs)
}

// at reports the phase.
func (r *run) at(phase string, done int64) {
	if r.step != nil && done == 0 {
		r.step(phase)
	}
	if r.Progress == nil {
		return
	}
	p := Progress{Phase: phase, Done: done, Report: r.report}
	p.Took, p.Paused = time.Since(r.began), r.pace.Paused()
	r.Progress(p)
}

// The phases of a repair.
const (
	phaseFeed    = "feeding the server what it lost"
	phaseTail    = "reading the lost branch"
	phaseRebuild = "rebuilding the lost branch on a scratch server"
	phaseBase    = "reading the keys where the histories part"
	phaseSince   = "reading the writes since"
	phaseMerge   = "comparing and putting back"
	phaseVerify  = "verifying"
)

// standing is the live server's own account.
type standing struct {
	replID string
	offset int64
}

// examine checks whether the live server can be repaired.
func (r *run) examine(ctx context.Context) (standing, error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, r.Live)
	if err != nil {
		return standing{}, fmt.Errorf("server %s: %w", r.Live.Address, err)
	}
	defer conn.Close()
	v, err := conn.Do(ctx, "iNfO")
	if err != nil {
		return standing{}, fmt.Errorf("%w: %s: INFO: %w", ErrLive, r.Live.Address, err)
	}
	text, _ := v.(string)
	f := wire.Fields(text)
	switch {
	case f["role"] != "master":
		return standing{}, fmt.Errorf("%w: %s is a %s of %s:%s; repair the primary", ErrLive,
			r.Live.Address, f["role"], f["master_host"], f["master_port"])
	case f["loading"] == "1":
		return standing{}, fmt.Errorf("%w: %s is still loading", ErrLive, r.Live.Address)
	}
	s := standing{replID: f["master_replid"]}
	if _, err := fmt.Sscan(f["master_repl_offset"], &s.offset); err != nil {
		return s, fmt.Errorf("%w: INFO says master_repl_offset %q", ErrLive, f["master_repl_offset"])
	}
	return s, nil
}

const liveTimeout = 10 * time.Second

// readTail records the keys of the lost branch.
func (r *run) readTail(ctx context.Context) error {
	r.at(phaseTail, 0)
	if r.branch.whole {
		r.wholes[-1], r.functions = true, true
		if r.branch.kind == fromNothing {
			r.libs = map[string]string{}
		}
		return nil
	}
	t := &touches{}
	t.key = func(db int, name []byte) {
		if err := r.pile.touch(db, name); err != nil {
			t.err = err
		}
	}
	t.added = func(db int, name []byte) {
		if err := r.pile.add(db, name); err != nil {
			t.err = err
		}
	}
	t.whole = func(db int) { r.wholes[db] = true }
	err := r.branch.tail(ctx, r.view, t)
	r.functions = t.functions
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}

// rebuild brings a scratch server to the end of the lost branch, by way of the place where the
// histories part.
func (r *run) rebuild(ctx context.Context) (*scratch.Server, error) {
	r.at(phaseRebuild, 0)
	b := r.branch
	var plan *replay.Plan
	var err error
	if b.from != nil {
		plan, err = replay.NewPlanVia(ctx, r.view, b.to, b.from.Offset)
		if err != nil && ctx.Err() == nil {
			b.from = nil // no usable base leads there
		}
	}
	if b.from == nil {
		plan, err = replay.NewPlan(ctx, r.view, b.to, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	o := replay.RestoreOptions{View: r.view, Plan: plan}
	if b.from != nil {
		o.Halt = &replay.Halt{Offset: b.from.Offset, Inspect: r.takeBase}
	}
	s, err := scratch.Rebuild(ctx, r.Scratch, o)
	if err != nil {
		return nil, err
	}
	r.report.Scratch = s.About
	return s, nil
}

// takeBase takes prints of the keys on a scratch server that stands where the histories part.
func (r *run) takeBase(ctx context.Context, at wire.Endpoint) error {
	r.at(phaseBase, 0)
	s, err := keyspace.Open(ctx, at)
	if err != nil {
		return err
	}
	defer s.Close()
	if r.functions {
		if r.libs, err = libraries(ctx, at); err != nil {
			return err
		}
	}
	if err := r.list(ctx, s); err != nil {
		return err
	}
	done := int64(0)
	return r.pile.each(func(part map[keyspace.Key]*entry) error {
		return keyspace.Prints(ctx, s, keyspace.KeysOf(sorted(part)),
			func(k keyspace.Key, p keyspace.Print) error {
				if done++; done%4096 == 0 {
					r.at(phaseBase, done)
				}
				if p == (keyspace.Print{}) {
					return nil // the default for keys without a print
				}
				return r.pile.put(noteBase, r.pile.hash(k.DB, []byte(k.Name)), k.DB, []byte(k.Name), &p)
			})
	})
}

// list records a server's keys in the databases that are compared as a whole.
func (r *run) list(ctx context.Context, s *keyspace.Server) error {
	dbs := r.wholeDBs()
	if len(r.wholes) == 0 {
		return nil
	}
	for key, err := range s.Keys(ctx, "", dbs...) {
		if err == nil && !stream.IsOwn(key.Name) {
			err = r.pile.touch(key.DB, []byte(key.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wholeDBs lists the databases that are compared as a whole; none with wholes: all.
func (r *run) wholeDBs() (dbs []int) {
	if r.wholes[-1] {
		return nil
	}
	for db := range r.wholes {
		dbs = append(dbs, db)
	}
	return dbs
}
