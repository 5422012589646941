package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/keyspace"
	"holdfast/journal/putback"
	"holdfast/journal/quantity"
	"holdfast/journal/replay"
	"holdfast/policy"
)

// A keysFlags selects the keys to restore, the point and the server.
type keysFlags struct {
	globs                      []string
	dbs                        []int
	changed, by                *string
	into, conflicts, deadlines *string
	rate                       *float64
	scratch                    scratchFlag
}

func addKeysFlags(f *flag.FlagSet) *keysFlags {
	k := &keysFlags{
		changed: f.String("changed-between", "", "restore only the keys that the commands from A to before B "+
			"changed: `A,B`, each\nan OFFSET, a TIME or event:N; \"A,\" is up to now; an OFFSET or\n"+
			"event:N alone is that command (a transaction as a whole) or event. Unless a point is\n"+
			"given, they become what they were before A"),
		by: f.String("changed-by", "", "with --changed-between: only the keys that its commands of a name like "+
			"`GLOB`\nchanged, such as rename*; one that others have written since A, too, is a conflict"),
		into: f.String("into", "", "with --keys or --changed-between: the server that gets them and keeps "+
			"everything\nelse: `URL`, as for --target, or live: the upstream of --config"),
		conflicts: f.String("conflicts", "skip", "one of `skip|replace|list`, for keys that others have written since the "+
			"point:\nskip leaves them, replace restores them, too, list writes nothing if there\nare any"),
		deadlines: f.String("ttl", "keep", "one of `keep|shift`, with --keys or --changed-between: keep deadlines as "+
			"they were, or\nshift them by the time that has passed since the point"),
		rate: f.Float64("rate", 0, "keys per second, `N` at most; it also pauses while the server's latency "+
			"rises"),
		scratch: addScratch(f),
	}
	f.Func("keys", "restore only the keys that match a `GLOB`, into a server that keeps everything else;\n"+
		"may be given several times", func(text string) error {
		k.globs = append(k.globs, text)
		return nil
	})
	f.Func("db", "with --keys or --changed-between: only database `N`; may be given several times",
		func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return fmt.Errorf("%q is no database", text)
			}
			k.dbs = append(k.dbs, n)
			return nil
		})
	return k
}

// given reports whether the flags select single keys.
func (k *keysFlags) given() bool { return len(k.globs) > 0 || *k.changed != "" }

// check reads the flags that do not depend on the journal. The errors are of usage.
func (k *keysFlags) check(r *restoration) error {
	switch {
	case !k.given() && (*k.into != "" || len(k.dbs) > 0):
		return usagef("--into and --db go with --keys or --changed-between")
	case *k.by != "" && *k.changed == "":
		return usagef("--changed-by goes with --changed-between")
	case !k.given():
		return nil
	case *k.into == "":
		return usagef("into which server? Give --into, which keeps everything else")
	case *r.targetURL != "" || *r.listen != "" || *r.force:
		return usagef("--keys and --changed-between go with --into, not with --target, --listen or --force")
	case *k.rate < 0:
		return usagef("--rate counts keys per second")
	case *k.deadlines != "keep" && *k.deadlines != "shift":
		return usagef("--ttl is keep or shift")
	}
	_, err := k.policy()
	return err
}

// policy reads --conflicts.
func (k *keysFlags) policy() (putback.Conflicts, error) {
	switch *k.conflicts {
	case "skip":
		return putback.Skip, nil
	case "replace":
		return putback.Replace, nil
	case "list":
		return putback.List, nil
	}
	return 0, usagef("--conflicts is skip, replace or list")
}

// bounds reads --changed-between as two places.
func (k *keysFlags) bounds(now time.Time) (from, to bound, err error) {
	a, b, two := strings.Cut(*k.changed, ",")
	if from, err = parseBound(a, now); err != nil {
		return from, to, err
	}
	switch {
	case from.kind == "":
		return from, to, usagef("--changed-between: it needs a beginning")
	case !two && from.place.time.IsZero(): // one event, or one command
		to = from
		to.behind = true
		to.reach = to.place.offset + 1
		return from, to, nil
	}
	to, err = parseBound(b, now)
	to.reach = to.place.offset
	return from, to, err
}

// selector is the point: the one that is given, or the beginning of the span to undo.
func (k *keysFlags) selector(point *pointFlags, now time.Time) (replay.Selector, error) {
	if *k.changed == "" || point.given() {
		return point.selector(now)
	}
	from, _, err := k.bounds(now)
	return from.selector(point.timeline), err
}

// A bound is the beginning or the end of a part of the stream.
type bound struct {
	kind   string // "event", "place", or "": now
	event  int
	behind bool  // the event, not before it
	reach  int64 // the part ends here or at the next boundary: no command counts by half; 0: see place
	place  place
}

func parseBound(text string, now time.Time) (bound, error) {
	text = strings.TrimSpace(text)
	if digits, ok := strings.CutPrefix(text, "event:"); ok {
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 {
			return bound{}, usagef("--changed-between: %q is no number of an event", digits)
		}
		return bound{kind: "event", event: n}, nil
	}
	p, err := parsePlace(text, now)
	switch {
	case err != nil:
		return bound{}, usagef("--changed-between: %w", err)
	case !p.given:
		return bound{}, nil
	}
	return bound{kind: "place", place: p}, nil
}

// selector is the point of a bound.
func (b *bound) selector(line *timelineFlag) replay.Selector {
	s := replay.Selector{Timeline: line.id, Current: line.current}
	switch {
	case b.kind == "event":
		s.Kind, s.Event = replay.BeforeEvent, b.event
	case b.place.time.IsZero():
		s.Kind, s.Offset = replay.AtOffset, b.place.offset
	default:
		s.Kind, s.Time = replay.AtTime, b.place.time
	}
	return s
}

// locate gives the offset of a bound.
func (r *restoration) locate(ctx context.Context, b *bound, line *timelineFlag) (int64, error) {
	if b.kind == "" {
		cur, ok := r.view.Current()
		if !ok {
			return 0, fmt.Errorf("the journal is empty")
		}
		return cur.End, nil
	}
	p, err := replay.Locate(ctx, r.view, b.selector(line), nil)
	if err != nil {
		return 0, fmt.Errorf("--changed-between: %w", err)
	}
	switch {
	case b.behind && b.kind == "event":
		return p.Event.To, nil
	case b.reach > 0:
		return replay.BoundaryBehind(ctx, r.view, p, b.reach)
	}
	return p.Offset, nil
}

// restoreKeys sets some keys of a server to their old values.
func (r *restoration) restoreKeys(ctx context.Context, k *keysFlags, which journalFlag,
	line *timelineFlag) error {
	o, err := r.keysOptions(ctx, k, which, line)
	if err != nil {
		return err
	}
	printer := &itemPrinter{w: r.c.stdout, asJSON: *r.asJSON, keeps: o.Conflicts != putback.Replace}
	o.Report = func(i putback.Item) error {
		r.shown.done()
		return printer.print(i)
	}
	if !*r.asJSON {
		printPlan(r.c.stdout, r.plan)
	}
	v := keysView{Plan: viewPlan(r.plan), Span: o.Span, Into: o.Into.Address, DryRun: *r.dryRun,
		Keys: make(map[string]int64)}
	giveWay()
	sum, err := putback.Run(ctx, o)
	r.shown.done()
	if err == nil && sum.Keys() == 0 {
		err = errNoKeys
	}
	v.Scratch, v.Recorded, v.Done = sum.Scratch, sum.Recorded, err == nil && !*r.dryRun
	v.Names = sum.Names
	v.Seconds, v.Paused = sum.Took.Seconds(), sum.Paused.Seconds()
	for a, n := range sum.Count {
		if n > 0 {
			v.Keys[putback.Action(a).String()] = n
		}
	}
	return errors.Join(err, printer.end(v))
}

// errNoKeys keeps a run without keys from reporting success.
var errNoKeys = errors.New("nothing was restored: no key is asked for; look at --keys, --db and the offsets")

func (r *restoration) keysProgress(s putback.Summary) {
	r.shown.say("%s compared, %d written", quantity.Of(s.Keys(), "key"), s.Written())
}

// keysOptions builds the options of the restore.
func (r *restoration) keysOptions(ctx context.Context, k *keysFlags, which journalFlag,
	line *timelineFlag) (o putback.Options, err error) {
	o = putback.Options{View: r.view, Plan: r.plan, Patterns: k.globs, Match: matcher(k.globs),
		DBs: k.dbs, Shift: *k.deadlines == "shift", DryRun: *r.dryRun, Rate: *k.rate,
		Open:      following(r.dir),
		Restoring: r.progress, Progress: r.keysProgress, Logger: r.logger()}
	if o.Conflicts, err = k.policy(); err != nil {
		return o, err
	}
	if o.Scratch, err = k.scratch.options(); err != nil {
		return o, err
	}
	if o.Into, o.Without, err = k.server(ctx, which, r.targetPassword); err != nil || *k.changed == "" {
		return o, err
	}
	from, to, err := k.bounds(r.now)
	if err != nil {
		return o, err
	}
	if *k.by != "" {
		o.By = matcher([]string{strings.ToLower(*k.by)})
	}
	o.Span = new(putback.Span)
	if o.Span.From, err = r.locate(ctx, &from, line); err != nil {
		return o, err
	}
	if o.Span.To, err = r.locate(ctx, &to, line); err == nil && o.Span.To <= o.Span.From {
		err = fmt.Errorf("--changed-between %s: no command is there (offsets %d to %d)", *k.changed,
			o.Span.From, o.Span.To)
	}
	return o, err
}

// matcher matches names with any of some patterns; without one it is nil.
func matcher(globs []string) func(string) bool {
	if len(globs) == 0 {
		return nil
	}
	all := make([]policy.Glob, len(globs))
	for i, g := range globs {
		all[i] = policy.CompileGlob(g)
	}
	return func(name string) bool {
		for i := range all {
			if all[i].MatchString(name) {
				return true
			}
		}
		return false
	}
}

// server reads --into. The databases of the proxy's trash are left out, unless --db names some.
func (k *keysFlags) server(ctx context.Context, which journalFlag, password *string) (e keyspace.Endpoint,
	without func(db int) bool, err error) {
	switch {
	case *k.into != "live":
		var t target
		t, err = parseServer("into", *k.into, *password)
		e = t.endpoint()
	case *which.config == "":
		err = usagef("--into live needs --config")
	default:
		e, err = liveServer(ctx, *which.config)
	}
	if err == nil && len(k.dbs) == 0 {
		without, err = withoutTrash(ctx, *which.config, e)
	}
	return e, without, err
}
