package main

import (
	"errors"
	"fmt"

	"holdfast/configs"
	"holdfast/policy"
)

// ruleSpecs is the rules of a configuration as policy takes them: the built-in ones where the file
// has none.
func ruleSpecs(c *configs.Config) []policy.RuleSpec {
	if c.Rules == nil {
		return policy.DefaultRules()
	}
	specs := make([]policy.RuleSpec, len(c.Rules))
	for i, r := range c.Rules {
		specs[i] = policy.RuleSpec{
			Name: r.Name, Commands: r.Commands, Except: r.Except,
			Action: r.Action, Enforcement: r.Enforcement,
		}
	}
	return specs
}

// located gives the errors of policy.New the line and the column of what they are about.
func located(c *configs.Config, err error) configs.Errors {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		var all configs.Errors
		for _, e := range joined.Unwrap() {
			all = append(all, located(c, e)...)
		}
		return all
	}
	var rule *policy.RuleError
	if !errors.As(err, &rule) {
		return configs.Errors{{Text: err.Error()}}
	}
	path := fmt.Sprintf("rules[%d].%s", rule.Index, rule.Field)
	if rule.Item >= 0 {
		path += fmt.Sprintf("[%d]", rule.Item)
	}
	return configs.Errors{c.At(path, fmt.Sprintf("rule %q: %s", rule.Rule, rule.Text))}
}

// idleRules is the rules of p that decide about no command of its table: what they name is not
// there, or an earlier rule takes all of it.
func idleRules(p *policy.Policy) []*policy.Rule {
	busy := make([]bool, len(p.Rules()))
	for _, cmd := range p.Table().All() { // with the unknown command
		v := p.Decide(&policy.Request{Cmd: cmd})
		for _, r := range []*policy.Rule{v.Rule, v.Shadow} {
			if r != nil {
				busy[r.Index] = true
			}
		}
	}
	var idle []*policy.Rule
	for _, r := range p.Rules() {
		if !busy[r.Index] {
			idle = append(idle, r)
		}
	}
	return idle
}
