package main

import (
	"fmt"
	"time"

	"holdfast/journal/replay"
)

// A recoverView is the outcome in JSON.
type recoverView struct {
	Plan     planView       `json:"plan"`
	Leads    *surveyView    `json:"leads"`
	Target   string         `json:"target"`
	Previous string         `json:"previous"` // upstream.address before the run
	Checks   []finding      `json:"checks"`
	Proxy    string         `json:"proxy,omitempty"` // its console; none: no proxy runs
	File     string         `json:"file"`
	Backup   string         `json:"backup,omitempty"` // the old file's copy
	Behind   *replay.Amount `json:"left_behind,omitempty"`
	Degraded []string       `json:"degraded,omitempty"` // the proxy's own complaints
	Done     bool           `json:"done"`               // false: a dry run, or no proxy runs yet
	Next     string         `json:"next,omitempty"`     // the remaining step
	Seconds  float64        `json:"seconds"`
}

func (r *recovery) printChecks() {
	for _, f := range r.checks.Findings {
		r.say("  %s: %s", f.Subject, f.Text)
	}
}

// report prints the finished steps. next is the remaining one.
func (r *recovery) report(began time.Time, next string) error {
	took := time.Since(began)
	if *r.asJSON {
		v := recoverView{Plan: viewPlan(r.plan), Leads: viewSurvey(r.leads), Target: r.target.address,
			Previous: r.previous, Checks: r.checks.Findings, File: r.file.path, Backup: r.file.backup,
			Behind: r.behind, Done: !*r.dryRun && r.proxy != nil, Next: next, Seconds: took.Seconds()}
		if r.proxy != nil {
			v.Proxy, v.Degraded = r.proxy.console, r.proxy.degraded
		}
		return writeJSON(r.c.stdout, v)
	}
	switch {
	case *r.dryRun:
		r.reportDry()
	case r.proxy == nil:
		r.say("ready: %s is a primary with the journal's end, and %s names it; no proxy runs: %s",
			r.target.address, r.file.path, next)
	default:
		if b := r.behind; b != nil {
			r.say("left behind: %s on timeline %d, offsets %d to %d: proxy journal show --dir %s --timeline %d "+
				"--from %d lists them", b, b.Timeline, b.From, b.To, r.dir, b.Timeline, b.From)
		}
		if r.proxy.unproven != "" {
			r.say("not checked through a listener: %s", r.proxy.unproven)
		}
		for _, text := range r.proxy.degraded {
			r.say("degraded: %s", text)
		}
		r.say("done: the proxy answers from %s and is ready, after %.1f s", r.target.address, took.Seconds())
	}
	return nil
}

// reportDry prints the planned steps.
func (r *recovery) reportDry() {
	printPlan(r.c.stdout, r.plan)
	printSurvey(r.c.stdout, r.plan, r.leads)
	r.printChecks()
	if r.restored {
		r.say("1. nothing to restore")
	} else {
		r.say("1. restore into %s", r.target.address)
	}
	if r.file.changed() {
		r.say("2. %s: upstream.address %s becomes %q", r.file.path, r.previous, r.target.address)
	} else {
		r.say("2. nothing to change in %s", r.file.path)
	}
	if r.proxy == nil {
		r.say("3. no proxy runs: it would be yours to start")
	} else {
		r.say("3. RELOAD by the console at %s", r.proxy.console)
	}
	fmt.Fprintln(r.c.stdout, "dry run: nothing was done")
}
