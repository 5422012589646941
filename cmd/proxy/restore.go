package main

import (
	"context"
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
  proxy restore --dir DIR --event 3 --target 10.0.0.9:6379
  proxy restore --dir DIR --end --skip-event 3 --target redis://:password@10.0.0.9:6379
  proxy restore --dir DIR --event 3 --keep-later --force --target 10.0.0.5:6379
  proxy restore --dir DIR --from dump.rdb --end --target 10.0.0.9:6379
  proxy restore --config F --keys 'user:*' --to 14:03 --into live
  proxy restore --config F --changed-between 14:03,14:05 --into live --dry-run

With --keys or --changed-between only single keys become what they were at the point, in a server
that keeps everything else and goes on serving.

With --listen and without --target it serves the point to any server that gets REPLICAOF, until
interrupted. A client that can connect gets everything.`

// A restoration is one run of restore.
type restoration struct {
	c     *command
	view  *journal.View
	dir   string // the journal's
	now   time.Time
	plan  *replay.Plan
	leads *replay.Survey // the plan's outcome
	point *pointFlags
	live  bool           // the point is the end of a history: it goes on with the recorded server
	more  *replay.Amount // the commands that came since
	left  *leftOutView   // of the recorded server's history
	shown *progress

	target                    target
	listen, advertise         *string
	force, dryRun, asJSON     *bool
	sentinelPaused            *bool
	targetURL, targetPassword *string
}

// A restoredView is the outcome in JSON.
type restoredView struct {
	Plan    planView       `json:"plan"`
	Leads   *surveyView    `json:"leads"`
	Target  string         `json:"target,omitempty"`
	Checks  []findingView  `json:"checks,omitempty"`   // of a dry run with a target
	Done    bool           `json:"done"`               // false: a dry run
	More    *replay.Amount `json:"more,omitempty"`     // of the plan: they came until the role changed
	LeftOut *leftOutView   `json:"left_out,omitempty"` // of the recorded server's history
	Seconds float64        `json:"seconds,omitempty"`
}

// A findingView is a finding about the target, in JSON.
type findingView struct {
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	Obstacle bool   `json:"obstacle"`
}

// restore is the subcommand restore.
func restore(ctx context.Context, c *command, args []string) error {
	f := c.flags("restore", aboutRestore)
	which, from := addJournal(f), addFrom(f)
	point, keys := addPoint(f), addKeysFlags(f)
	r := &restoration{c: c, point: point, now: time.Now(),
		targetURL: f.String("target", "", "the server to rebuild: "+
			"`redis://[user:password@]host:port` or unix:/path"),
		targetPassword: f.String("target-password-file", "", "a `file` that holds the target's "+
			"password, instead of writing it here"),
		listen: f.String("listen", "", "`ADDRESS` where the target comes for the data; by "+
			"default a free port on the way to the target"),
		advertise: f.String("advertise", "", "`ADDRESS` for the target to connect to, if it must go "+
			"another way"),
		force: f.Bool("force", false, "overwrite a target that is not empty, or is the very "+
			"server that the journal records"),
		sentinelPaused: f.Bool("sentinel-paused", false, "the sentinels that watch the target have "+
			"been told to wait (docs/journal.md says how)"),
		dryRun: f.Bool("dry-run", false, "find and show the point, with --target look at the "+
			"server, too, and do nothing"),
		asJSON: f.Bool("json", false, "print JSON"),
	}
	if err := c.parse(f, args); err != nil {
		return err
	}
	sel, err := keys.selector(point, r.now)
	if err == nil {
		err = r.check(keys)
	}
	if err != nil {
		return err
	}
	if r.view, r.dir, err = which.open(c); err != nil {
		return err
	}
	if r.view, err = from.view(ctx, c, r.view); err != nil {
		return err
	}
	r.live = sel.Kind == replay.AtEnd || *point.keepLater
	r.shown = newProgress(c.stderr)
	if r.plan, err = point.plan(ctx, r.view, sel, r.shown); err != nil {
		return err
	}
	if keys.given() {
		return r.restoreKeys(ctx, keys, which, point.timeline)
	}
	if r.leads, err = point.survey(ctx, r.view, r.plan, *r.dryRun, r.shown); err != nil {
		return err
	}
	return r.run(ctx)
}

// check reads the flags for the target. The errors are of usage.
func (r *restoration) check(k *keysFlags) error {
	if err := k.check(r); err != nil || k.given() {
		return err
	}
	switch {
	case *r.targetURL == "" && *r.listen == "" && !*r.dryRun:
		return usagef("where to? Give --target, or --listen, or --dry-run")
	case *r.advertise != "" && *r.listen == "":
		return usagef("--advertise goes with --listen")
	case *r.targetURL == "" && *r.force:
		return usagef("--force goes with --target")
	case *r.targetURL == "" && *r.sentinelPaused:
		return usagef("--sentinel-paused goes with --target")
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
		printSurvey(r.c.stdout, r.plan, r.leads)
	}
	switch {
	case *r.dryRun && *r.targetURL == "":
		return r.report(nil, false, 0)
	case *r.dryRun:
		return r.examine(ctx)
	case *r.targetURL == "":
		return r.serve(ctx)
	}
	result, err := replay.Restore(ctx, r.options())
	r.shown.done()
	if err != nil {
		return err
	}
	r.leaveWord(result)
	r.awaitJournal(ctx, result)
	if err := r.finish(ctx, result); err != nil {
		return fmt.Errorf("%s is a primary at the point; what was left out cannot be counted: %w", r.target.address,
			err)
	}
	if err := r.report(nil, true, result.Took); err != nil {
		return err
	}
	if r.left != nil && r.left.Lost > 0 {
		return errReported
	}
	return nil
}

// leaveWord announces the restore to the proxy that records the server, so that it does not hold
// back promises for the commands left behind. It may be another machine's journal.
func (r *restoration) leaveWord(result replay.Result) {
	if !result.Recorded {
		return
	}
	err := journal.LeaveRestored(nil, r.dir, journal.Restored{RunID: result.RunID,
		Offset: r.plan.Point.Offset, Time: time.Now()})
	if err != nil {
		fmt.Fprintf(r.c.stderr, "the proxy that records this server could not be told (%v): on its "+
			"console, ACKNOWLEDGE INCIDENTS lets its routes go on\n", err)
	}
}

// awaitJournal waits until the proxy that records the server follows its new contents: a crash
// before that would lose them silently.
func (r *restoration) awaitJournal(ctx context.Context, result replay.Result) {
	inUse, err := journal.InUse(nil, r.dir)
	if !result.Recorded || err == nil && !inUse {
		return
	}
	var followed bool
	if err == nil {
		r.shown.say("restored; waiting for the journal to follow the server")
		fresh := func() (*journal.View, error) { return journal.Salvage(nil, r.dir) }
		followed, err = replay.AwaitFollowed(ctx, r.options(), fresh, followTimeout)
		r.shown.done()
	}
	if !followed {
		text := ""
		if err != nil {
			text = " (" + err.Error() + ")"
		}
		fmt.Fprintf(r.c.stderr, "warning: the journal does not follow the server yet%s: until /readyz says that it "+
			"does, a crash of the server loses what was restored\n", text)
	}
}

// followTimeout is enough for a server to begin a snapshot (repl-diskless-sync-delay) and to send a
// small one.
const followTimeout = 30 * time.Second

func (r *restoration) options() replay.RestoreOptions {
	o := replay.RestoreOptions{
		View: r.view, Plan: r.plan, Target: r.target.address, Username: r.target.username,
		Password: r.target.password, Dial: r.target.dial(), Serve: r.target.tls.Serve(), Listen: *r.listen, Advertise: *r.advertise, Force: *r.force,
		SentinelPaused: *r.sentinelPaused, Progress: r.progress,
		Logger: r.logger(),
	}
	if r.live {
		o.Extend = r.extend
	}
	return o
}

// examine examines the target and prints its findings. The error joins the obstacles.
func (r *restoration) examine(ctx context.Context) error {
	pre, err := replay.Examine(ctx, r.options())
	if err != nil {
		return err
	}
	if !*r.asJSON {
		fmt.Fprintf(r.c.stdout, "target: %s, nothing stands in the way\n", pre.Target)
		for _, f := range pre.Findings {
			fmt.Fprintf(r.c.stdout, "  %s: %s\n", f.Subject, f.Text)
		}
	}
	return r.report(pre, false, 0)
}

// logger logs the target's protocol errors.
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

// report prints the outcome.
func (r *restoration) report(pre *replay.Preflight, done bool, took time.Duration) error {
	if *r.asJSON {
		v := restoredView{Plan: viewPlan(r.plan), Leads: viewSurvey(r.leads),
			Target: r.target.address, Done: done, More: r.more, LeftOut: r.left,
			Seconds: took.Seconds()}
		if pre != nil {
			for _, f := range pre.Findings {
				v.Checks = append(v.Checks, findingView{f.Subject, f.Text, f.Err != nil})
			}
		}
		return writeJSON(r.c.stdout, v)
	}
	text := "dry run: nothing was done"
	if done {
		r.printFinish()
		text = fmt.Sprintf("done: %s is a primary at that point, after %.1f s", r.target.address,
			took.Seconds())
	}
	_, err := fmt.Fprintln(r.c.stdout, text)
	return err
}
