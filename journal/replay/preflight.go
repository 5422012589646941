package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/journal/internal/wire"
)

// Finding is an obstacle to a restore, or a check that was not made.
type Finding struct {
	Subject string // "data", "format", "commands", …
	Text    string
	Err     error // its kind, for errors.Is; nil: worth knowing, and no obstacle
}

// Preflight lists the checks made before a target is touched.
type Preflight struct {
	Target   string // the server and its version
	Findings []Finding

	RunID, ReplID string // of the target
	Primary       bool   // it is a primary
	// AtPoint says that it was promoted at this very point before, and Begun that a restore to it
	// was cut off: the target is a replica of an address where nothing answers, and is empty or
	// holds a beginning of this plan.
	AtPoint, Begun bool

	before look // the target as it was found
	resume bool // it holds a beginning of exactly this plan, and can continue
}

// PreflightError lists all obstacles to a restore at once. Nothing was touched.
type PreflightError struct{ Preflight *Preflight }

// Error implements error.
func (e *PreflightError) Error() string {
	var b strings.Builder
	b.WriteString("nothing was touched:")
	obstacles := e.Preflight.obstacles()
	for _, f := range obstacles {
		if len(obstacles) > 1 {
			b.WriteString("\n  - ")
		} else {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%v: %s", f.Err, f.Text)
	}
	return b.String()
}

// Unwrap returns the findings' kinds.
func (e *PreflightError) Unwrap() []error {
	var out []error
	for _, f := range e.Preflight.obstacles() {
		out = append(out, f.Err)
	}
	return out
}

func (p *Preflight) obstacles() []Finding {
	var out []Finding
	for _, f := range p.Findings {
		if f.Err != nil {
			out = append(out, f)
		}
	}
	return out
}

// refuse records an obstacle.
func (p *Preflight) refuse(subject string, err error, format string, args ...any) {
	p.Findings = append(p.Findings, Finding{subject, fmt.Sprintf(format, args...), err})
}

// advise records a finding that is no obstacle.
func (p *Preflight) advise(subject, format string, args ...any) {
	p.refuse(subject, nil, format, args...)
}

// Examine makes every check possible before a restore touches its target. If it finds obstacles,
// the error is a *PreflightError.
func Examine(ctx context.Context, o RestoreOptions) (*Preflight, error) {
	o.fill()
	t, err := openTarget(ctx, o)
	if err != nil {
		return nil, err
	}
	defer t.conn.Close()
	return t.preflight(ctx)
}

func (t *target) preflight(ctx context.Context) (*Preflight, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	info, err := t.info(ctx)
	if err != nil {
		return nil, err
	}
	p := &Preflight{before: readLook(info)}
	p.RunID, p.ReplID, p.Primary = p.before.runID, p.before.replID, !p.before.replica
	if info["role"] == "" {
		p.refuse("server", ErrTarget, "its INFO is not that of a server")
		return p, &PreflightError{p}
	}
	if isProxy, err := t.isProxy(ctx); err != nil {
		return p, err
	} else if isProxy {
		p.refuse("server", ErrTarget, "it is a proxy; give the address of the server behind it")
		return p, &PreflightError{p}
	}
	t.before = p.before
	if err := t.checkTail(p); err != nil {
		return p, err
	}
	r := releaseOf(info)
	p.Target = r.String()
	t.checkState(ctx, p, info)
	t.checkSpeed(p, info)
	t.checkFormat(p, r)
	t.checkMemory(p, info)
	for _, check := range []func(context.Context, *Preflight) error{
		t.checkCommands, t.checkOptions, t.checkDatabases, t.checkSettings, t.checkSentinels,
	} {
		if err := check(ctx, p); err != nil {
			return p, err
		}
	}
	if len(p.obstacles()) > 0 {
		return p, &PreflightError{p}
	}
	return p, nil
}

// isProxy reports whether a proxy answers, whose rules and reserved databases stand between the restore and the
// server. HOLDFAST is a command of its own, and unknown to every server.
func (t *target) isProxy(ctx context.Context) (bool, error) {
	_, err := t.conn.Do(ctx, "HOLDFAST", "ACK")
	var reply wire.Error
	if errors.As(err, &reply) {
		return false, nil
	}
	if err != nil {
		return false, t.refused("HOLDFAST", err)
	}
	return true, nil
}

// checkState checks the target's role and content.
func (t *target) checkState(ctx context.Context, p *Preflight, info map[string]string) {
	now := p.before
	if info["cluster_enabled"] == "1" {
		p.refuse("cluster", ErrTarget, "it is a cluster node; restore a server of its own instead")
	}
	if now.loading {
		p.refuse("loading", ErrTarget, "it is still loading")
	}
	why := t.atPoint(now)
	p.AtPoint = why != ""
	switch leftover := now.replica && !now.linkUp && t.deadEnd(ctx, now.primary); {
	case now.replica && !leftover:
		p.refuse("role", ErrTarget, "it is a replica of %s; promote it first", now.primary)
	case leftover:
		why = fmt.Sprintf("it is a replica of %s, where nothing answers, as a restore that was cut "+
			"off leaves it; %s", now.primary, t.standing(now))
		p.resume = t.continues(now)
		p.Begun = t.onTheWay(now) || now.holds() == ""
	case !t.opts.Force && t.recorded(now.replID):
		p.refuse("data", ErrRecorded,
			"it would go back to the point and lose all since; --force does that")
	}
	switch holds := now.holds(); {
	case p.Begun && t.opts.Resume:
		p.advise("data", "%s", why)
	case holds != "" && !t.opts.Force && why != "":
		p.refuse("data", ErrNotEmpty, "%s (%s); --force overwrites it, or goes on from there",
			holds, why)
	case holds != "" && !t.opts.Force:
		p.refuse("data", ErrNotEmpty, "%s; --force overwrites it", holds)
	case why != "":
		p.advise("data", "%s", why)
	}
}

// checkSpeed lists settings that slow the restore down. Changing a server's settings is left to its
// operator, who knows their reason.
func (t *target) checkSpeed(p *Preflight, info map[string]string) {
	if info["aof_enabled"] == "1" {
		p.advise("append-only file", "the target has appendonly yes: it will write the whole stream "+
			"to its own file, too, which takes time; CONFIG SET appendonly no before a restore and yes "+
			"after it spares that")
	}
	if n := info["connected_slaves"]; n != "" && n != "0" {
		p.advise("replicas", "the target has replicas=%s (the journal of a proxy counts as "+
			"one): each will be sent everything again", n)
	}
}

func (t *target) checkFormat(p *Preflight, r release) {
	needs := t.opts.Plan.Needs
	if !r.loads(needs.Format) {
		p.refuse("format", ErrRejected, "the base has %s, and %s does not load it; choose a server "+
			"of the same kind and version or a newer one", describe(needs.Format), r)
	}
	switch {
	case needs.Why != nil:
		p.advise("format", "the base was read and is whole; its contents were not "+
			"examined: %v", needs.Why)
	case len(needs.Contents.Modules) > 0 && !r.sinceWriter(needs.Format):
		p.refuse("modules", ErrRejected, "the base holds values of modules (%s), whose form changes "+
			"with each version; it has %s; choose a server of the same kind and version or a newer one",
			strings.Join(sortedKeys(needs.Contents.Modules), ", "), describe(needs.Format))
	}
}

// checkMemory compares the memory of the data in the recorded server with the target's limits.
func (t *target) checkMemory(p *Preflight, info map[string]string) {
	number := func(text string) int64 {
		n, _ := strconv.ParseInt(text, 10, 64) // a missing figure limits nothing
		return n
	}
	took, limit := number(t.opts.Plan.Needs.Format.Aux["used-mem"]), number(info["maxmemory"])
	policy := info["maxmemory_policy"]
	switch {
	case limit > 0 && took > limit && policy != "noeviction":
		p.refuse("memory", ErrTooSmall, "the base took %d bytes where it was made, and with "+
			"maxmemory %d and %s the target would evict some of it as a primary; CONFIG SET maxmemory "+
			"first", took, limit, policy)
	case limit > 0 && took > limit:
		p.advise("memory", "the base took %d bytes where it was made, and maxmemory is %d: as a "+
			"primary the target will refuse writes", took, limit)
	case took > number(info["total_system_memory"]) && info["total_system_memory"] != "":
		p.refuse("memory", ErrTooSmall, "the base took %d bytes where it was made, and the "+
			"target's machine has %s", took, info["total_system_memory"])
	}
}

// ask sends a command for which the target's user may lack the right. A refused command is listed
// as not checked.
func (t *target) ask(ctx context.Context, p *Preflight, subject string, args ...string) (any, error) {
	v, err := t.conn.Do(ctx, args...)
	var reply wire.Error
	if errors.As(err, &reply) {
		p.advise(subject, "not checked: %s is refused: %s", args[0], reply)
		return nil, nil
	}
	if err != nil {
		return nil, t.refused(args[0], err)
	}
	return v, nil
}
