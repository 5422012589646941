package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
)

const aboutRestore = `Rebuilds a server at any point of a journal, exactly. The server loads a base and
then the stream up to the point from this process, as from a primary, and is promoted. The journal
may be one that a proxy is writing, or a copy of its folder on another machine.

  proxy restore --dir DIR --before-command flushall --target redis://127.0.0.1:6399
  proxy restore --dir DIR --to "2026-03-01 14:03:05" --dry-run
  proxy restore --dir DIR --end --skip 48213 --target redis://:password@10.0.0.9:6379

With --listen and without --target it serves the point to any server that is told REPLICAOF, until
interrupted. Whoever can connect is given everything.`

// A restoration is one run of restore.
type restoration struct {
	c     *command
	view  *journal.View
	plan  *replay.Plan
	shown *progress

	target                    target
	listen, advertise         *string
	force, dryRun, asJSON     *bool
	targetURL, targetPassword *string
}

// A restoredView is the outcome in JSON.
type restoredView struct {
	Plan    planView `json:"plan"`
	Target  string   `json:"target,omitempty"`
	Done    bool     `json:"done"` // false: a dry run
	Seconds float64  `json:"seconds,omitempty"`
}

// restore is the subcommand restore.
func restore(ctx context.Context, c *command, args []string) error {
	f := c.flags("restore", aboutRestore)
	which := addJournal(f)
	point := addPoint(f)
	r := &restoration{c: c,
		targetURL: f.String("target", "", "the server to rebuild: "+
			"`redis://[user:password@]host:port` or unix:/path"),
		targetPassword: f.String("target-password-file", "", "a `file` that holds the target's "+
			"password, instead of writing it here"),
		listen: f.String("listen", "", "`ADDRESS` where the target comes for the data; by "+
			"default a free port on the way to the target"),
		advertise: f.String("advertise", "", "`ADDRESS` that the target is told, if it must go "+
			"another way"),
		force: f.Bool("force", false, "overwrite a target that is not empty, or is the very "+
			"server that the journal records"),
		dryRun: f.Bool("dry-run", false, "find and show the point, and do nothing"),
		asJSON: f.Bool("json", false, "print JSON"),
	}
	if err := c.parse(f, args); err != nil {
		return err
	}
	sel, err := point.selector(time.Now())
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return err
	}
	if r.view, _, err = which.open(); err != nil {
		return err
	}
	r.shown = newProgress(c.stderr)
	if r.plan, err = point.plan(ctx, r.view, sel, r.shown); err != nil {
		return err
	}
	return r.run(ctx)
}

// check reads the flags that say where to. The errors are of usage.
func (r *restoration) check() error {
	switch {
	case *r.targetURL == "" && *r.listen == "" && !*r.dryRun:
		return usagef("where to? Give --target, or --listen, or --dry-run")
	case *r.advertise != "" && *r.listen == "":
		return usagef("--advertise goes with --listen")
	case *r.targetURL == "" && *r.force:
		return usagef("--force goes with --target")
	}
	for name, address := range map[string]string{"listen": *r.listen, "advertise": *r.advertise} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			return usagef("--%s: %w", name, err)
		}
	}
	if *r.targetURL == "" {
		return nil
	}
	var err error
	r.target, err = parseTarget(*r.targetURL, *r.targetPassword)
	return err
}

func (r *restoration) run(ctx context.Context) error {
	if !*r.asJSON {
		printPlan(r.c.stdout, r.plan)
	}
	switch {
	case *r.dryRun:
		return r.report(false, 0)
	case *r.targetURL == "":
		return r.serve(ctx)
	}
	result, err := replay.Restore(ctx, replay.RestoreOptions{
		View: r.view, Plan: r.plan, Target: r.target.address, Username: r.target.username,
		Password: r.target.password, Listen: *r.listen, Advertise: *r.advertise, Force: *r.force,
		Progress: r.progress, Logger: r.logger(),
	})
	r.shown.done()
	switch {
	case errors.Is(err, replay.ErrNotEmpty), errors.Is(err, replay.ErrRecorded):
		return fmt.Errorf("%w (--force)", err)
	case err != nil:
		return err
	}
	return r.report(true, result.Took)
}

// logger speaks of what the target does wrong.
func (r *restoration) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r.c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (r *restoration) progress(p replay.Progress) {
	switch {
	case p.Attempts == 0 && p.Address != "":
		r.shown.say("waiting for the target to come to %s for the data: it must be able to connect",
			p.Address)
	case p.Loading != "":
		r.shown.say("the target loads the base: %s %%", p.Loading)
	case p.BaseSent < p.BaseSize:
		r.shown.say("base: %s of %s (%.0f %%)", bytesText(p.BaseSent), bytesText(p.BaseSize),
			percent(p.BaseSent, p.BaseSize))
	default:
		r.shown.say("stream: %s of %s sent, the target is at offset %d of %d (%.0f %%)",
			bytesText(p.StreamSent), bytesText(p.StreamSize), p.Acked, p.End,
			percent(p.Acked-r.plan.Base.Offset, p.StreamSize))
	}
}

// report says what was done.
func (r *restoration) report(done bool, took time.Duration) error {
	if *r.asJSON {
		return writeJSON(r.c.stdout, restoredView{Plan: viewPlan(r.plan), Target: r.target.address,
			Done: done, Seconds: took.Seconds()})
	}
	text := "dry run: nothing was done"
	if done {
		text = fmt.Sprintf("done: %s is a primary at that point, after %.1f s", r.target.address,
			took.Seconds())
	}
	_, err := fmt.Fprintln(r.c.stdout, text)
	return err
}
