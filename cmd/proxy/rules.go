package main

import (
	"errors"
	"fmt"

	"holdfast/configs"
	"holdfast/policy"
)

// ruleSpecs converts the rules of a configuration for policy: the built-in ones where the file has
// none.
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

// inspect loads the file at path and compiles its rules and routes. It returns all their faults at
// once, with line and column, as configs.Errors, together with the readable part of the Config.
// Commands that the built-in table lacks may be the server's.
func inspect(path string) (*configs.Config, error) {
	c, err := configs.Inspect(path)
	var all configs.Errors
	if err != nil && (!errors.As(err, &all) || c == nil) {
		return nil, err
	}
	_, err = policy.New(policy.Options{
		Rules: ruleSpecs(c), Enforcement: c.Enforcement, AllowUnknown: true,
	})
	all = all.Merge(located(c, err))
	_, err = policy.NewRoutes(nil, routeSpecs(c))
	if all = all.Merge(located(c, err)); len(all) > 0 {
		return c, all
	}
	return c, nil
}

// placed is err with lines and columns, if it is about rules or routes of c.
func placed(c *configs.Config, err error) error {
	var rule *policy.RuleError
	var route *policy.RouteError
	if errors.As(err, &rule) || errors.As(err, &route) {
		return located(c, err)
	}
	return err
}

// located gives the errors of policy.New and policy.NewRoutes, if any, the line and the column of
// their subject.
func located(c *configs.Config, err error) configs.Errors {
	if err == nil {
		return nil
	}
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
