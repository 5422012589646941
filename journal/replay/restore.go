package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// RestoreOptions says what to restore into what. View, Plan and Target are required.
type RestoreOptions struct {
	View *journal.View
	Plan *Plan

	Target             string // host:port, or unix: and a path
	Username, Password string // the user needs +info +replicaof
	Dial               wire.DialFunc

	// Listen is where the target comes for the data. Empty: a free port on the address from which
	// we reach the target.
	Listen string
	// Advertise is what the target is told, host:port. Empty: the address listened on.
	Advertise string
	// Force overwrites what the target holds, also if it is the server that the journal records.
	Force bool
	// Inspect, if not nil, is called when the target has come to the point and before it is
	// promoted: it is still a replica then, holds exactly what the original held, and expires
	// nothing. An error ends the restore.
	Inspect func(ctx context.Context) error
	// Progress, if not nil, is called several times a second.
	Progress func(Progress)
	Logger   *slog.Logger // nil: discard
}

// Result says what came of a restore.
type Result struct {
	Offset int64  // the target's, when it was promoted
	ReplID string // history that it continues
	Took   time.Duration
}

const (
	pollEvery   = 20 * time.Millisecond
	pollAtEnd   = 2 * time.Millisecond // when everything was sent
	maxAttempts = 3                    // full resyncs; a fourth would not load either
	stepTimeout = 30 * time.Second
)

// Restore brings a server to a plan's point: it makes it a replica of this process, waits until it
// has applied exactly the plan's stream, and promotes it. What the target held is lost.
//
// When it fails before the target has come for the data, the target is as before. When it fails
// later, the target is left a replica of an address where nobody answers, so that nobody writes
// into half a data set. With ErrTooSmall that is a whole one.
func Restore(ctx context.Context, o RestoreOptions) (Result, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	began := time.Now()
	t, err := openTarget(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer t.conn.Close()
	ln, advertise, err := t.listen(ctx)
	if err != nil {
		return Result{}, err
	}
	p := NewPrimary(PrimaryOptions{View: o.View, Plan: o.Plan, Allow: t.isTarget, Logger: o.Logger})
	serving, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	var serveErr error
	wait.Go(func() { serveErr = p.Serve(serving, ln); stop() })
	defer wait.Wait()
	defer stop()
	if err := t.replicaOf(ctx, advertise); err != nil {
		return Result{}, err
	}
	if err := t.follow(serving, p); err != nil {
		stop()
		wait.Wait()
		if ctx.Err() != nil { // whatever that broke
			err = fmt.Errorf("interrupted: %w", context.Cause(ctx))
		}
		return Result{}, errors.Join(t.giveUp(ctx, p, err), serveErr)
	}
	if err := t.promote(ctx); err != nil {
		return Result{}, err
	}
	return Result{Offset: o.Plan.End(), ReplID: o.Plan.ReplID, Took: time.Since(began)}, nil
}

// follow waits until the target is exactly at the point.
func (t *target) follow(ctx context.Context, p *Primary) error {
	want := strconv.FormatInt(t.opts.Plan.End(), 10)
	for {
		// Not all of it: the target has better things to do.
		info, err := t.info(ctx, "persistence", "replication")
		if err != nil {
			return err
		}
		progress := p.Progress()
		progress.Address = t.advertised
		if info["loading"] == "1" {
			progress.Loading = info["loading_loaded_perc"]
		}
		if t.opts.Progress != nil {
			t.opts.Progress(progress)
		}
		switch {
		case info["role"] != "slave":
			return fmt.Errorf("%w: someone else promoted it", ErrTarget)
		case info["master_link_status"] == "up" && info["slave_repl_offset"] == want &&
			info["master_replid"] == t.opts.Plan.ReplID:
			if t.opts.Inspect != nil {
				if err := t.opts.Inspect(ctx); err != nil {
					return err
				}
			}
			return t.hasRoom(ctx)
		case progress.Attempts > maxAttempts:
			return fmt.Errorf("%w after %d attempts; its version is %s, its log says why: %w",
				ErrRejected, maxAttempts, t.version, orNothing(progress.LastErr))
		}
		every := pollEvery
		if progress.StreamSent == progress.StreamSize && info["loading"] != "1" {
			every = pollAtEnd
		}
		if err := pause(ctx, every); err != nil {
			return err
		}
	}
}

// orNothing makes an error of none, for %w.
func orNothing(err error) error {
	if err == nil {
		return errors.New("it closed the connection")
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// giveUp puts the target back where it was, if nothing has happened to it yet.
func (t *target) giveUp(ctx context.Context, p *Primary, err error) error {
	if errors.Is(err, ErrTooSmall) {
		return err
	}
	if p.Progress().Attempts > 0 {
		return fmt.Errorf("restore failed; the target is left a replica with no primary, "+
			"and what it holds is incomplete: %w", err)
	}
	// The connection may be in the middle of a command, or the context at its end.
	clean := context.WithoutCancel(ctx)
	t.conn.Close()
	conn, derr := wire.Dial(clean, wire.Endpoint{Address: t.opts.Target, Username: t.opts.Username,
		Password: t.opts.Password, Dial: t.opts.Dial})
	if derr != nil {
		return errors.Join(err, derr)
	}
	t.conn = conn
	return errors.Join(err, t.do(clean, "REPLICAOF", "NO", "ONE"))
}

func (t *target) promote(ctx context.Context) error {
	if err := t.do(ctx, "REPLICAOF", "NO", "ONE"); err != nil {
		return err
	}
	info, err := t.info(ctx, "replication")
	if err == nil && info["role"] != "master" {
		err = fmt.Errorf("%w: it is %s after REPLICAOF NO ONE", ErrTarget, info["role"])
	}
	return err
}
