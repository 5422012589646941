package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/journal/ctxtime"
)

// settleTime bounds the wait for a target that is loading, or restarting, after a restore failed,
// so that the error can report its content.
const settleTime = 10 * time.Second

// aftermath looks at a target after a restore failed, and reports its content and the command that
// ends that state. A target whose own data is untouched gets its former role back. One that is not
// ours any more is left as it is.
func (t *target) aftermath(ctx context.Context, p *Primary, err error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime+stepTimeout)
	defer cancel()
	// The connection may be in the middle of a command.
	if derr := t.dialAgain(clean); derr != nil {
		return fmt.Errorf("%w\nwhat the target holds now cannot be seen (%w); a restore with --dry-run "+
			"and --target says it", err, derr)
	}
	now, lerr := t.settled(clean)
	switch {
	case lerr != nil:
		return fmt.Errorf("%w\nwhat the target holds now cannot be seen: %w", err, lerr)
	case t.ours(now) != nil:
		return fmt.Errorf("%w\n%s; it was left as it is", err, t.notOurs(now))
	case t.givenNothing(now, p):
		return t.putBack(clean, nil, err)
	case t.untouched(now, p):
		return t.putBack(clean, &t.before, err)
	}
	return fmt.Errorf("%w\nthe target is left a replica of %s, where nothing answers, so that nothing "+
		"writes into it; %s; %s", err, now.primary, t.standing(now), t.wayOut(now, err))
}

// dialAgain connects to a target that may just be restarting.
func (t *target) dialAgain(ctx context.Context) error {
	deadline := time.Now().Add(settleTime)
	for {
		err := t.dial(ctx)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := ctxtime.Sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// settled looks at a target that has worked off its input: without us it stops loading, and notices
// that the snapshot has ended. Before that it may still empty itself for the bytes in its socket.
func (t *target) settled(ctx context.Context) (look, error) {
	deadline := time.Now().Add(settleTime)
	for {
		now, err := t.look(ctx, "memory", "keyspace")
		if err != nil || !now.loading && !now.syncing || time.Now().After(deadline) {
			return now, err
		}
		if err := ctxtime.Sleep(ctx, pollEvery); err != nil {
			return now, err
		}
	}
}

// givenNothing reports whether no byte of ours reached a target: it has its own data, including the
// writes of its clients until its role changed.
func (t *target) givenNothing(now look, p *Primary) bool {
	sent := p.Progress()
	return !t.before.replica && now.replID == t.before.replID && sent.Attempts == 0 && sent.StreamSent == 0
}

// untouched reports whether only the role of a target has changed. Had it loaded the base, it would
// have acknowledged it and taken over the history; had it begun to load in the place of its data,
// it would be empty.
func (t *target) untouched(now look, p *Primary) bool {
	return !t.before.replica && now.same(t.before) && now.replID == t.before.replID &&
		p.acked.Load() == 0
}

// notOurs describes a target that was taken away.
func (t *target) notOurs(now look) string {
	role := "a primary"
	if now.replica {
		role = "a replica of " + now.primary
	}
	since := ""
	if now.runID != t.before.runID {
		since = " since its restart"
	}
	holds := now.holds()
	if holds == "" {
		holds = "no keys"
	}
	return fmt.Sprintf("the target is %s%s and holds %s", role, since, holds)
}

// putBack makes an unchanged target a primary again. If it was sent anything, its data is compared with
// before; if not, clients may have written since.
func (t *target) putBack(ctx context.Context, before *look, err error) error {
	if derr := t.do(ctx, "REPLICAOF", "NO", "ONE"); derr != nil {
		return fmt.Errorf("%w\nthe target still has its own data, and is a replica of %s: REPLICAOF NO "+
			"ONE makes it a primary again, which failed: %w", err, t.advertised, derr)
	}
	now, lerr := t.look(ctx, "memory", "keyspace")
	if lerr != nil {
		return fmt.Errorf("%w\nthe target is a primary again; whether its own data is what it was is not known: %w", err, lerr)
	}
	if now.replica || before != nil && !now.same(*before) {
		return fmt.Errorf("%w\nthe target is a primary again, and its own data is not what it was; it holds: %s",
			err, cmp.Or(now.holds(), "no keys"))
	}
	return fmt.Errorf("%w\nthe target's own data is untouched, and it is a primary again", err)
}

// wayOut is the command that ends the present state of a target.
func (t *target) wayOut(now look, err error) string {
	switch {
	case errors.Is(err, ErrTooSmall):
		return "give it more memory, then REPLICAOF NO ONE"
	case errors.Is(err, ErrDiverged):
		return "restore into a server of the recorded one's version, or send it REPLICAOF NO ONE and " +
			"FLUSHALL to have it empty"
	case t.onTheWay(now) && now.offset == t.opts.Plan.End():
		return "REPLICAOF NO ONE promotes it"
	}
	return "the same restore with --force goes on from there; REPLICAOF NO ONE, then FLUSHALL, makes " +
		"it an empty primary"
}
