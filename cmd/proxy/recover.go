package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/replay"
)

const aboutRecover = `Brings a lost server back on another one: restores the journal's end into the
server at --to, compares it with the journal, writes its address into upstream.address of the
configuration file (a copy of the file stays in its folder), has the running proxy RELOAD, and waits
until that answers from the new primary and is ready. Where no proxy runs, the file is changed and
the text says how to start it.

  proxy recover --config holdfast.yaml --to redis://10.0.0.9:6379 --dry-run
  proxy recover --config holdfast.yaml --to redis://10.0.0.9:6379

Everything that can be checked is checked first; until then nothing is touched. After an end of any
kind in the middle, the same command goes on from there. It runs on the proxy's machine.`

// A recovery is one run of recover.
type recovery struct {
	restoration
	file     upstreamFile
	config   *configs.Config // as the file is now
	next     *configs.Config // with the new address
	proxy    *runningProxy   // nil: none runs
	behind   *replay.Amount  // left on the history that the old server went on with
	previous string          // the address before
	secured  *secured        // of config
	timeline *timelineFlag
	yesEmpty *bool
	leaveOld *bool

	pre      *replay.Preflight
	restored bool // the target is at the point, or has gone on from there behind the proxy
	checks   report
}

// recoverCommand is the subcommand recover.
func recoverCommand(ctx context.Context, c *command, args []string) error {
	f := c.flags("recover", aboutRecover)
	path := f.String("config", "", "the proxy's configuration `file`")
	r := &recovery{restoration: restoration{c: c,
		targetURL: f.String("to", "", "the new server: `redis://[user:password@]host:port` or\n"+
			"unix:/path; without a user or password, those of the file's upstream"),
		targetPassword: f.String("to-password-file", "", "a `file` that holds its password, instead of "+
			"writing it here\n(or "+targetPasswordEnv+")"),
		listen: f.String("listen", "", "`ADDRESS` where the new server comes for the data; by default a "+
			"free port on the way to it"),
		advertise: f.String("advertise", "", "`ADDRESS` for the new server to connect to, if it must go "+
			"another way"),
		force:          f.Bool("force", false, "overwrite what the new server holds"),
		sentinelPaused: f.Bool("sentinel-paused", false, "the sentinels that watch the new server have been told to wait"),
		dryRun:         f.Bool("dry-run", false, "check everything, show what would be done, and touch nothing"),
		asJSON:         f.Bool("json", false, "print JSON"),
	},
		timeline: addTimeline(f),
		yesEmpty: f.Bool("yes-empty", false, "go on where the journal's end has no keys"),
		leaveOld: f.Bool("leave-old", false, "go on although the old server answers as a primary: what it "+
			"takes from now on\nstays behind, and is named"),
	}
	if err := c.parse(f, args); err != nil {
		return err
	}
	if *path == "" || *r.targetURL == "" {
		return usagef("--config and --to are needed")
	}
	if err := r.read(*path); err != nil {
		return err
	}
	began := time.Now()
	if err := r.find(ctx); err != nil {
		return err
	}
	if err := r.examine(ctx); err != nil {
		return err
	}
	if *r.dryRun {
		return r.report(began, "")
	}
	return r.act(ctx, began)
}

// read reads the file and the flags for the target.
func (r *recovery) read(path string) (err error) {
	if r.target, err = parseServer("to", *r.targetURL, *r.targetPassword); err != nil {
		return err
	}
	if r.config, err = inspect(path); err != nil {
		return unusable(err)
	}
	if err := hasJournal(path, r.config); err != nil {
		return err
	}
	if (r.target.tls == nil) != (r.config.Upstream.TLS == nil) {
		return usagef("--to is %s TLS and upstream.tls of %s is not the same: the proxy could not reach the new "+
			"server; write or take away upstream.tls first", withOrWithout(r.target.tls != nil), path)
	}
	if r.secured, err = securedOnce(r.config); err != nil {
		return unusable(err)
	}
	r.dir, r.previous = r.config.Journal.Dir, r.config.Upstream.Address.String()
	if r.target.username == "" && r.target.password == "" {
		r.target.username = r.config.Upstream.Username
		r.target.password = string(r.config.Upstream.Password)
	}
	if r.file, err = readUpstreamFile(path, r.target.address); err != nil {
		return unusable(err)
	}
	next := *r.config
	next.Upstream.Address = configs.Addresses{r.target.address}
	r.next = &next
	return nil
}

// find locates the proxy, the journal and the point.
func (r *recovery) find(ctx context.Context) (err error) {
	r.shown = newProgress(r.c.stderr)
	if r.proxy, err = findProxy(ctx, r.config, r.secured.admin, r.file.path); err != nil {
		return err
	}
	if r.view, _, err = (journalFlag{dir: &r.dir, config: new(string)}).open(r.c); err != nil {
		return err
	}
	point := &pointFlags{timeline: r.timeline, yesEmpty: r.yesEmpty, keepLater: new(bool)}
	sel := replay.Selector{Kind: replay.AtEnd, Timeline: r.timeline.id, Current: r.timeline.current}
	if r.plan, err = point.plan(ctx, r.view, sel, r.shown); err != nil {
		return err
	}
	r.leads, err = point.survey(ctx, r.view, r.plan, *r.dryRun, r.shown)
	return err
}

// act takes the remaining steps, and succeeds only when the proxy answers from the new primary.
func (r *recovery) act(ctx context.Context, began time.Time) error {
	if !*r.asJSON {
		printPlan(r.c.stdout, r.plan)
		printSurvey(r.c.stdout, r.plan, r.leads)
		r.printChecks()
	}
	if !r.restored {
		result, err := replay.Restore(ctx, r.options())
		r.shown.done()
		if err != nil {
			return fmt.Errorf("%w\nthe proxy and its file are as before; the same recover goes on from there", err)
		}
		r.pre.RunID = result.RunID
		r.say("restored: %s is a primary at offset %d", r.target.address, result.Offset)
	}
	// The journal will meet the new server's history on purpose.
	if err := journal.LeaveRestored(nil, r.dir, journal.Restored{RunID: r.pre.RunID,
		Offset: r.plan.Point.Offset, Time: time.Now()}); err != nil {
		return r.stopped("the journal's folder takes no note of it", err)
	}
	if err := r.file.write(r.target.address, time.Now()); err != nil {
		return r.stopped(fmt.Sprintf("%s still names %s", r.file.path, r.previous), err)
	}
	if r.file.backup != "" {
		r.say("%s: upstream.address is %q; the file before is %s", r.file.path, r.target.address,
			r.file.backup)
	}
	if r.proxy == nil {
		return r.report(began, "start the proxy: proxy serve --config "+r.file.path)
	}
	if err := r.proxy.switchTo(ctx, r.target.address, r.pre.RunID, r.shown); err != nil {
		return r.stopped(fmt.Sprintf("%s names it", r.file.path), err)
	}
	if err := r.countBehind(ctx); err != nil {
		return r.stopped("the proxy answers from it", err)
	}
	return r.report(began, "")
}

// stopped reports the last step reached.
func (r *recovery) stopped(state string, err error) error {
	return fmt.Errorf("not done: %w\n%s is a primary with the journal's end; %s; the same command goes on "+
		"from there", err, r.target.address, state)
}

// options are a restore's; it continues an interrupted one.
func (r *recovery) options() replay.RestoreOptions {
	o := r.restoration.options()
	o.Resume, o.Expect = true, r.leads.Keys
	return o
}

func (r *recovery) say(format string, args ...any) {
	if !*r.asJSON {
		fmt.Fprintf(r.c.stdout, format+"\n", args...)
	}
}

// countBehind counts the old server's writes behind the point, where it was left running.
func (r *recovery) countBehind(ctx context.Context) error {
	if !*r.leaveOld {
		return nil
	}
	view, err := journal.Salvage(nil, r.dir)
	if err != nil {
		return err
	}
	a, err := replay.Behind(ctx, view, r.plan.Point, keysNamed())
	if err == nil && a.To > a.From {
		r.behind = &a
	}
	return err
}

// obstacles joins all obstacles into one error; nil: there are none.
func (r *recovery) obstacles() error {
	var all []string
	for _, f := range r.checks.Findings {
		if f.Level == levelFail {
			text := f.Subject + ": " + f.Text
			if f.Line > 0 {
				text = fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Text)
			}
			all = append(all, text)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return errors.New("nothing was touched: " + all[0])
	}
	return errors.New("nothing was touched:\n  - " + strings.Join(all, "\n  - "))
}
