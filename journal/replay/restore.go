package replay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/event"
	"holdfast/journal/internal/wire"
	"holdfast/journal/quantity"
)

// RestoreOptions configure a restore. View, Plan and Target are required.
type RestoreOptions struct {
	View *journal.View
	Plan *Plan

	Target             string // host:port, or unix: and a path
	Username, Password string // the user needs +info +replicaof
	Dial               wire.DialFunc
	// Serve is our TLS side for a target with tls-replication yes; nil: such a target is refused.
	Serve *tls.Config

	// Listen is the address where the target comes for the data. Empty: a free port on the address
	// from which we reach the target.
	Listen string
	// Advertise is the address given to the target, host:port. Empty: the address listened on.
	Advertise string
	// Force overwrites the target's data, also if it is the server that the journal records.
	Force bool
	// Extend, if not nil, is called when the target is the server that the journal records, on the
	// plan's own timeline, and no longer executes commands. Its argument is a view that holds the
	// target's whole stream, and it returns the plan that is restored in the place of Plan. An
	// error leaves the target a primary with all of its data.
	Extend func(ctx context.Context, view *journal.View) (*Plan, error)
	// Resume continues, without Force, a restore to the same plan that was cut off.
	Resume bool
	// Expect bounds the keys that the target must hold at the point before it is promoted. The zero
	// value sets no bound.
	Expect event.Counts
	// SentinelPaused says that the sentinels that watch the target do not act while it loads.
	SentinelPaused bool
	// Inspect, if not nil, is called when the target has come to the point and before it is
	// promoted: it is still a replica then, its state is exactly the original's, and it expires
	// nothing. An error ends the restore.
	Inspect func(ctx context.Context) error
	// Halt, if not nil, is a place on the way: the target gets the stream up to there, and no more
	// before Halt.Inspect has returned.
	Halt *Halt
	// Progress, if not nil, is called several times a second.
	Progress func(Progress)
	Logger   *slog.Logger // nil: discard
}

// Halt is a place on the way to a plan's point.
type Halt struct {
	Offset  int64 // of the stream; a command ends there, outside of a transaction
	Inspect func(ctx context.Context, target wire.Endpoint) error
}

// Result is the outcome of a restore.
type Result struct {
	Offset int64  // the target's, when it was promoted
	ReplID string // history that it continues
	Took   time.Duration
	// RunID is the target's process, and Recorded says that it is the server that the journal
	// records.
	RunID    string
	Recorded bool
	// Plan is the restored one, and View its journal: newer than the ones asked for if the plan was
	// extended.
	Plan *Plan
	View *journal.View
	// Tail is the end of the recorded server's history; nil: the target was another one.
	Tail *Tail
}

const (
	pollEvery   = 20 * time.Millisecond
	pollAtEnd   = 2 * time.Millisecond // when everything was sent
	maxAttempts = 3                    // full resyncs; a fourth would fail, too
	stepTimeout = 30 * time.Second
)

// fill sets defaults.
func (o *RestoreOptions) fill() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Restore brings a server to a plan's point: it makes it a replica of this process, waits until it
// has applied exactly the plan's stream, and promotes it. The target's data is lost.
//
// Everything that can be checked is checked before (see [Examine]); obstacles are a
// *PreflightError, and the target is as before. A later failure's error describes the target's
// content then. Half a data set is left a replica of an address where nothing answers, so that
// nothing writes into it; the next restore goes on from there.
func Restore(ctx context.Context, o RestoreOptions) (Result, error) {
	o.fill()
	began := time.Now()
	t, err := openTarget(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer func() { t.conn.Close() }()
	pre, err := t.preflight(ctx)
	if err != nil {
		return Result{}, err
	}
	for _, f := range pre.Findings {
		o.Logger.Warn(f.Text)
	}
	t.before = pre.before
	ln, advertise, err := t.listen(ctx)
	if err != nil {
		return Result{}, err
	}
	err = t.replicaOf(ctx, advertise)
	if err == nil {
		err = t.asReplica(ctx)
	}
	if err == nil {
		err = t.stand(ctx)
	}
	p := NewPrimary(PrimaryOptions{View: t.opts.View, Plan: t.opts.Plan, Allow: t.isTarget, Logger: o.Logger,
		Resume: pre.resume, Halt: o.Halt})
	serving, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	var serveErr error
	defer wait.Wait()
	defer stop()
	if err == nil {
		wait.Go(func() { serveErr = p.Serve(serving, ln); stop() })
		err = t.follow(serving, p)
	} else {
		ln.Close()
	}
	if err == nil {
		err = t.promote(ctx)
	}
	if err != nil {
		stop()
		wait.Wait()
		switch {
		case ctx.Err() != nil: // the error is a consequence
			err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
		case serveErr != nil:
			err, serveErr = serveErr, nil
		}
		return Result{}, errors.Join(t.aftermath(ctx, p, err), serveErr)
	}
	plan := t.opts.Plan
	return Result{Offset: plan.End(), ReplID: plan.ReplID, Took: time.Since(began), RunID: pre.before.runID,
		Recorded: t.recorded(pre.before.replID), Plan: plan, View: t.opts.View, Tail: t.tail}, nil
}

// follow waits until the target is exactly at the point.
func (t *target) follow(ctx context.Context, p *Primary) error {
	for {
		now, err := t.lookAtOurs(ctx)
		if err == nil {
			err = t.guarded(now)
		}
		if err != nil {
			return err
		}
		progress := p.Progress()
		progress.Address = t.advertised
		if now.loading {
			progress.Loading = now.info["loading_loaded_perc"]
		}
		if t.opts.Progress != nil {
			t.opts.Progress(progress)
		}
		there := now.linkUp && now.replID == t.opts.Plan.ReplID
		switch {
		case there && p.haltsAt(now.offset):
			if err := t.opts.Halt.Inspect(ctx, t.endpoint()); err != nil {
				return err
			}
			p.goOn()
		case there && now.offset == t.opts.Plan.End():
			return t.arrived(ctx)
		case progress.Attempts > maxAttempts:
			return fmt.Errorf("%w after %d attempts; its version is %s, its log says why: %w",
				ErrRejected, maxAttempts, releaseOf(now.info).text, orNothing(progress.LastErr))
		}
		every := pollEvery
		if progress.StreamSent == progress.StreamSize && !now.loading {
			every = pollAtEnd
		}
		if err := ctxtime.Sleep(ctx, every); err != nil {
			return err
		}
	}
}

// lookAtOurs asks for the state of a target that must still be ours.
func (t *target) lookAtOurs(ctx context.Context, more ...string) (look, error) {
	now, err := t.look(ctx, more...)
	if err == nil {
		err = t.ours(now)
	}
	return now, err
}

// ours makes sure that the target is still the same process, and our replica.
func (t *target) ours(now look) error {
	switch {
	case now.runID != t.before.runID:
		return fmt.Errorf("%w: it was restarted in the middle", ErrTaken)
	case !now.replica:
		return fmt.Errorf("%w: it was promoted from elsewhere", ErrTaken)
	case now.primary != t.advertised:
		return fmt.Errorf("%w: it was made a replica of %s", ErrTaken, now.primary)
	}
	return nil
}

// asReplica examines the target between its change of role and its first byte of data: traits that
// only a replica shows are checked while its own data is untouched.
func (t *target) asReplica(ctx context.Context) error {
	now, err := t.lookAtOurs(ctx)
	if err == nil {
		err = t.guarded(now)
	}
	return err
}

// guarded makes sure that no client can write into the target, if its settings could not be read.
func (t *target) guarded(now look) error {
	if now.info["slave_read_only"] == "0" {
		return fmt.Errorf("%w: its replica-read-only is no, and clients can write into it before it is at "+
			"the point; CONFIG SET replica-read-only yes for as long as a restore takes", ErrTarget)
	}
	return nil
}

// arrived examines a target that reports the point's offset, and decides whether it may be
// promoted.
func (t *target) arrived(ctx context.Context) error {
	if t.opts.Inspect != nil {
		if err := t.opts.Inspect(ctx); err != nil {
			return err
		}
	}
	now, err := t.lookAtOurs(ctx, "memory", "errorstats", "keyspace")
	if err == nil {
		err = t.understood(now)
	}
	if err == nil {
		err = t.counted(now)
	}
	if err == nil {
		err = t.hasRoom(now.info)
	}
	return err
}

// understood reports a target that answered something in the stream with an error. It goes on then,
// at the right offset and with other data. The server counts its error replies, and sends them to
// no client.
func (t *target) understood(now look) error {
	before := t.before.rejected
	if now.rejected < before {
		before = 0 // CONFIG RESETSTAT came in between
	}
	if now.rejected == before {
		return nil
	}
	return fmt.Errorf("%w: it answered %s with an error (INFO errorstats: %s); its log says which, and "+
		"its data is not what was recorded", ErrDiverged, quantity.Of(now.rejected-before, "command"),
		raised(t.before.info, now.info))
}

// raised lists the kinds of errors whose counts have risen.
func raised(before, now map[string]string) string {
	var kinds []string
	for field, count := range now {
		if kind, ok := strings.CutPrefix(field, "errorstat_"); ok && before[field] != count {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

// orNothing replaces a nil error, for %w.
func orNothing(err error) error {
	if err == nil {
		return errors.New("it closed the connection")
	}
	return err
}

func (t *target) promote(ctx context.Context) error {
	if err := t.do(ctx, "REPLICAOF", "NO", "ONE"); err != nil {
		return err
	}
	now, err := t.look(ctx)
	switch {
	case err != nil:
		return err
	case now.replica:
		return fmt.Errorf("%w: it is a replica after REPLICAOF NO ONE", ErrTarget)
	case now.runID != t.before.runID || t.atPoint(now) == "":
		return fmt.Errorf("%w: when it was promoted it was not at the point any more", ErrTaken)
	}
	return nil
}

// counted compares the keys that a target holds at the point with the journal's count. The journal
// does not count its own mark, which is one key of one database.
func (t *target) counted(now look) error {
	want := t.opts.Expect
	have := maps.Clone(now.keys)
	bad := func(db string, low, high int64) error {
		n := have[db]
		delete(have, db)
		if n >= low && n <= high+1 {
			return nil
		}
		return fmt.Errorf("%w: %s in %s, and the journal says %s", ErrCounts, quantity.Of(n, "key"), db, want)
	}
	for _, c := range want.DBs {
		if err := bad(fmt.Sprintf("db%d", c.DB), c.Low, c.High); err != nil {
			return err
		}
	}
	for db := range have {
		if !want.Rest {
			break
		}
		if err := bad(db, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
