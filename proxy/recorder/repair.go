package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
	"holdfast/journal/repair"
	"holdfast/proxy/admin"
)

// repairer runs the console's repairs in the background, one at a time.
type repairer struct {
	mu     sync.Mutex
	state  *admin.Repair // of the running repair, or the last one; nil: there was none
	cancel context.CancelFunc
	joined sync.WaitGroup
}

// repairItems is the number of keys that SHOW REPAIR names.
const repairItems = 20

// begin starts a repair, and passes its result to the callback at the end.
func (p *repairer) begin(r *Recorder, q admin.RepairRequest, told func(result string)) error {
	conflicts := repair.List
	if q.Conflicts != "" {
		var err error
		if conflicts, err = repair.ParseConflicts(q.Conflicts); err != nil {
			return err
		}
	}
	t, o := r.tap.Load(), r.options()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != nil && p.state.Running {
		return fmt.Errorf("%w: SHOW REPAIR says how far it is", repair.ErrRunning)
	}
	unlock, err := repair.Lock(o.FS, o.Dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.state = &admin.Repair{Incident: q.Incident, DryRun: q.DryRun, Running: true, Since: time.Now()}
	p.joined.Go(func() {
		defer cancel()
		p.run(ctx, r, unlock, repair.Options{Fresh: func() (*journal.View, error) { return r.journal.Load().View() },
			Incident: q.Incident, Live: t.Endpoint(), Conflicts: conflicts, DryRun: q.DryRun,
			Dir: o.Dir, FS: o.FS, Item: p.item, Progress: p.progress, Logger: r.log}, told)
	})
	return nil
}

// run repairs, and closes the incident when that is done. It unlocks the folder before it shows the end: an operator who sees it
// may begin the next repair.
func (p *repairer) run(ctx context.Context, r *Recorder, unlock func(), o repair.Options, told func(string)) {
	rep, err := repair.Run(ctx, o)
	closed := false
	if err == nil {
		closed, err = r.settle(ctx, rep)
	}
	unlock()
	p.mu.Lock()
	s := p.state
	s.Running, s.Took = false, time.Since(s.Since)
	s.Done, s.Phase = closed, "ended"
	if err != nil {
		s.Error = err.Error()
	}
	if rep.Touched > 0 || err == nil {
		s.Lines = rep.Lines()
	}
	result := strings.Join(s.Lines, "; ")
	p.mu.Unlock()
	switch {
	case err != nil:
		result = strings.TrimPrefix(result+"; failed: "+err.Error(), "; ")
		r.log.Error("journal: the repair ended with an error", "incident", o.Incident, "error", err)
	case closed:
		r.log.Info("journal: an incident is settled", "incident", o.Incident, "verdict",
			cmp.Or(rep.Verdict, rep.Incident.Verdict), "put_back",
			rep.Restored+rep.Replaced, "removed", rep.Deleted, "conflicts", rep.Conflicts)
	default:
		r.log.Warn("journal: the repair ended, and the incident stays open", "incident", o.Incident,
			"conflicts", rep.Conflicts, "failed", rep.Failed, "dry_run", o.DryRun)
	}
	told(result)
}

// settle records the outcome of a repair. closed: the incident is.
func (r *Recorder) settle(ctx context.Context, rep *repair.Report) (closed bool, err error) {
	what := rep.Settlement()
	if what != (journal.Settlement{}) {
		err = r.journal.Load().Settle(ctx, rep.Incident, what)
		r.notify()
	}
	if err != nil || what.How == "" {
		return false, err
	}
	o := r.options()
	return true, journal.ForgetFeeding(o.FS, o.Dir, rep.Incident.N)
}

func (p *repairer) item(i repair.Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.state.Items) == repairItems && i.What != "failed" {
		p.state.More++
		return
	}
	text := fmt.Sprintf("%s: %v", i.What, i.Key)
	if i.Why != "" {
		text += ": " + i.Why
	}
	p.state.Items = append(p.state.Items, text)
}

func (p *repairer) progress(now repair.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Phase, p.state.Keys = now.Phase, now.Done
	p.state.Took, p.state.Paused = now.Took, now.Paused
}

// close ends a repair that runs; the next one goes on.
func (p *repairer) close() {
	p.mu.Lock()
	if p.cancel != nil {
		p.cancel()
	}
	p.mu.Unlock()
	p.joined.Wait()
}

// roleEvery is the interval of guardRole's checks.
const roleEvery = 500 * time.Millisecond

// guardRole makes the server a primary again if a repair was killed while it fed the server, by
// this process or another, and replicas their primary's. It runs until the context ends. Joined by
// Recorder.run.
func (p *repairer) guardRole(ctx context.Context, r *Recorder) {
	said, saidOfReplicas := "", ""
	for ; ; _ = ctxtime.Sleep(ctx, roleEvery) {
		if ctx.Err() != nil {
			return
		}
		o := r.options()
		back, err := repair.GiveBack(ctx, o.FS, o.Dir, r.tap.Load().Endpoint())
		for _, replica := range back {
			r.log.Warn("journal: a feed was cut off, and the replica is its primary's again", "replica", replica)
		}
		if text := errorText(err); text != saidOfReplicas && ctx.Err() == nil {
			saidOfReplicas = text
			if err != nil {
				r.log.Error("journal: a feed was cut off, and a replica is not given back to its primary", "error", err)
			}
		}
		restored, err := repair.RestoreRole(ctx, o.FS, o.Dir, r.tap.Load().Endpoint())
		if restored {
			r.log.Warn("journal: a repair was cut off while it fed the server, which is a primary again; " +
				"run the repair once more")
		}
		if text := errorText(err); text != said && ctx.Err() == nil {
			said = text
			if err != nil {
				r.log.Error("journal: a repair was cut off while it fed the server, whose role is not restored",
					"error", err)
			}
		}
	}
}

// look returns the running repair, or the last one.
func (p *repairer) look() *admin.Repair {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return nil
	}
	s := *p.state
	s.Items = append([]string(nil), s.Items...)
	return &s
}

// Repair implements admin.JournalBackend.
func (c Console) Repair(_ context.Context, q admin.RepairRequest) error {
	r := c.recorder
	if r == nil {
		return admin.ErrNoJournal
	}
	err := r.repairs.begin(r, q, func(result string) {
		c.audit(admin.Action{Operator: q.Operator, Name: "repair ended",
			Command: fmt.Sprintf("REPAIR %d", q.Incident), Result: result})
	})
	if errors.Is(err, journal.ErrLocked) {
		return fmt.Errorf("%w: a proxy repair runs with this folder", repair.ErrRunning)
	}
	return err
}

// RepairState implements admin.JournalBackend.
func (c Console) RepairState(context.Context) (*admin.Repair, error) {
	if c.recorder == nil {
		return nil, admin.ErrNoJournal
	}
	return c.recorder.repairs.look(), nil
}
