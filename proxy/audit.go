package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/audit"
)

// rulingNames are the verdicts in the audit log.
var rulingNames = [...]string{
	allowed: "allowed", denied: "denied", observed: "observed", rewritten: "rewritten",
	held: "held", approved: "approved", trashed: "trashed", throttled: "throttled",
	passed: "passed",
}

// audit notes a verdict. ref is the token of a command held for approval, or the id of an entry in
// the trash.
func (f *frame) audit(r *policy.Rule, is ruling, ref string) {
	log := f.s.w.srv.audit
	if is == allowed || is == observed && r.Action == policy.Allow || !log.Admits() {
		return
	}
	e := f.auditEntry(r, is)
	if is == trashed {
		e.Trash = ref
	} else {
		e.Token = ref
	}
	log.Put(e)
}

// auditEntry is the line about a command, without the reference.
func (f *frame) auditEntry(r *policy.Rule, is ruling) audit.Entry {
	s, cmd := f.s, f.cmd
	return audit.Entry{
		Time: time.UnixMilli(s.w.unixMilli()).UTC(), Verdict: rulingNames[is], Rule: r.Name,
		Command: audit.Describe(cmd, f.Args), User: s.ident.userName(),
		Client: s.conn.RemoteAddr(), Name: s.name, Listener: s.listener.name, DB: int(s.db),
		Code: f.ruleReason(r),
	}
}

// tellHit logs the effect, actual or observed, of a rule on a command.
func (f *frame) tellHit(r *policy.Rule, observed bool) {
	if observed && r.Action == policy.Allow {
		return
	}
	s := f.s
	s.w.srv.hits.Hit(r.Name, observed, audit.Hit{Command: f.cmd.Name, User: s.ident.userName(),
		Client: s.conn.RemoteAddr(), Why: f.ruleReason(r)})
}
