package proxy

import (
	"context"

	"holdfast/proxy/admin"
)

// ruleConsole implements admin.RuleBackend.
type ruleConsole struct{ loops *loops }

// Rules implements admin.RuleBackend.
func (c ruleConsole) Rules(ctx context.Context) ([]admin.Rule, error) {
	type part struct {
		rules []admin.Rule
	}
	parts, err := gather(ctx, c.loops, func(w *worker) part {
		var p part
		for _, r := range w.policy.Rules() {
			n := w.counters.Rules[r.Index]
			mode := "enforce"
			if r.Observe {
				mode = "observe"
			}
			p.rules = append(p.rules, admin.Rule{
				Name: r.Name, Action: r.Action.String(), Enforcement: mode,
				Commands: r.Spec.Commands, Except: r.Spec.Except,
				Allowed: n.Allowed, Denied: n.Denied, Observed: n.Observed,
				Rewritten: n.Rewritten, Trashed: n.Trashed, Held: n.Held,
				Approved: n.Approved, Throttled: n.Throttled,
			})
		}
		return p
	})
	if err != nil {
		return nil, err
	}
	// During a reload the loops may have different rules. A name is a rule's own.
	out := parts[0].rules
	at := make(map[string]int, len(out))
	for i := range out {
		at[out[i].Name] = i
	}
	for _, p := range parts[1:] {
		for i := range p.rules {
			if n, ok := at[p.rules[i].Name]; ok {
				out[n].Add(&p.rules[i])
			}
		}
	}
	return out, nil
}
