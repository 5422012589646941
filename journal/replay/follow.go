package replay

import (
	"context"
	"errors"
	"sync"

	"holdfast/journal"
)

// A Follower is a server that stands at the end of a plan as a replica, and goes on when asked to:
// its state is exactly the recorded server's there, it expires nothing by itself, and it takes no
// writes. It belongs to one goroutine.
type Follower struct {
	t    *target
	p    *Primary
	stop context.CancelFunc
	wait sync.WaitGroup
	err  error // of Serve; read after wait
}

// Follow brings a server to a plan's point as [Restore] does, after the same checks, and leaves it a
// replica of this process. Close must be called. The context bounds all of its life.
func Follow(ctx context.Context, o RestoreOptions) (*Follower, error) {
	o.fill()
	t, err := openTarget(ctx, o)
	if err != nil {
		return nil, err
	}
	pre, err := t.preflight(ctx)
	if err != nil {
		t.conn.Close()
		return nil, err
	}
	t.before = pre.before
	ln, advertise, err := t.listen(ctx)
	if err != nil {
		t.conn.Close()
		return nil, err
	}
	serving, stop := context.WithCancel(ctx)
	f := &Follower{t: t, stop: stop, p: NewPrimary(PrimaryOptions{View: o.View, Plan: o.Plan, Allow: t.isTarget,
		Logger: o.Logger})}
	f.wait.Go(func() { f.err = f.p.Serve(serving, ln); stop() })
	if err = t.replicaOf(ctx, advertise); err == nil {
		err = t.follow(serving, f.p)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Offset is the server's offset in the followed history.
func (f *Follower) Offset() int64 { return f.t.opts.Plan.Point.Offset }

// Plan is the part that the server has received.
func (f *Follower) Plan() *Plan { return f.t.opts.Plan }

// Advance takes the server to the end of its history in a newer view, and waits until it is there.
func (f *Follower) Advance(ctx context.Context, view *journal.View) error {
	plan, err := f.t.opts.Plan.Extend(ctx, view, nil)
	if err != nil || plan == f.t.opts.Plan {
		return err
	}
	f.t.opts.Plan, f.t.opts.View = plan, view
	f.p.Extend(view, plan)
	return f.t.follow(ctx, f.p)
}

// Close makes the server a primary with its present data, and ends the serving.
func (f *Follower) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	err := f.t.do(ctx, "REPLICAOF", "NO", "ONE")
	f.stop()
	f.wait.Wait()
	return errors.Join(err, f.err, f.t.conn.Close())
}
