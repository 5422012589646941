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
			Users: r.Users, Addresses: r.Addresses, ClientNames: r.ClientNames,
			Listeners: r.Listeners, Databases: r.Databases,
			Keys: r.Keys, KeysOver: r.KeysOver, Arguments: r.Arguments, Scripts: r.Scripts,
			Action: r.Action, Keep: r.Keep, Enforcement: r.Enforcement,
		}
		if l := r.Limit; l.Rate != "" {
			specs[i].Limit = &policy.LimitSpec{Rate: l.Rate, Burst: l.Burst, Per: l.Per}
		}
	}
	return specs
}

// located gives the errors of policy.New and policy.NewRoutes the line and the column of what they are about.
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
	var route *policy.RouteError
	switch {
	case errors.As(err, &rule):
		path := fieldPath("rules", rule.Index, rule.Field, rule.Item)
		return configs.Errors{c.At(path, fmt.Sprintf("rule %q: %s", rule.Rule, rule.Text))}
	case errors.As(err, &route):
		path := fieldPath("routes", route.Index, route.Field, route.Item)
		return configs.Errors{c.At(path, fmt.Sprintf("route %q: %s", route.Route, route.Text))}
	}
	return configs.Errors{{Text: err.Error()}}
}

// fieldPath is the path of a field of an entry of a list, or of one item of the field.
func fieldPath(list string, index int, field string, item int) string {
	path := fmt.Sprintf("%s[%d].%s", list, index, field)
	if item >= 0 {
		path += fmt.Sprintf("[%d]", item)
	}
	return path
}
