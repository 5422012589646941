package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/configs"
	"holdfast/policy"
	"holdfast/proxy/guard"
	"holdfast/proxy/upstream"
)

// checkGuard proves, user by user, which commands the server's own ACL refuses inside scripts. It
// asks by ACL DRYRUN and changes nothing.
func checkGuard(ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream,
	control string, p *policy.Policy) {
	g, err := guard.For(p, "default")
	if err != nil {
		r.warn("guard", "%v", err)
		return
	}
	reply, err := u.Do(ctx, "ACL", "USERS")
	if err != nil {
		if len(g.Refused) > 0 {
			r.warn("guard", "the users cannot be looked at, so there can be no guard either (%v): "+
				"code that cannot be read through is refused", err)
		}
		return
	}
	guarded := c.Upstream.Guard == configs.GuardACL
	switch {
	case len(g.Refused) == 0:
		r.ok("guard", "the rules refuse nothing that scripts could call")
	case guarded && mayKeepGuard(ctx, r, u, control):
		r.ok("guard", "scripts of the user default will run as a user who may not run %s",
			commandNames(g.Refused))
	case guarded:
		guarded = false
	}
	checkGaps(r, g.Gaps)
	users, _ := reply.([]any)
	for _, v := range users {
		name, _ := v.(string)
		own := name == "default" && guarded || name == control && name != "default"
		if !own && !strings.HasPrefix(name, guard.Prefix) {
			checkUser(ctx, r, u, p, name)
		}
	}
}

// checkGaps lists the commands that an ACL cannot refuse: one line per rule and reason.
func checkGaps(r *report, gaps []policy.Gap) {
	type reason struct{ rule, why string }
	var order []reason
	commands := map[reason][]*policy.Command{}
	for _, gap := range gaps {
		key := reason{gap.Rule.Name, gap.Why}
		if commands[key] == nil {
			order = append(order, key)
		}
		commands[key] = append(commands[key], gap.Command)
	}
	for _, key := range order {
		r.ok("guard", "the server lets scripts run %s, which rule %q restricts: %s; that is left to "+
			"the reading of code", commandNames(commands[key]), key.rule, key.why)
	}
}

// mayKeepGuard asks whether the control user may keep the guard's user.
func mayKeepGuard(ctx context.Context, r *report, u *upstream.Upstream, control string) bool {
	for _, sub := range []string{"SETUSER", "GETUSER", "DELUSER"} {
		v, err := u.Do(ctx, "ACL", "DRYRUN", control, "ACL", sub, "x")
		if text, _ := v.(string); err != nil || text != "OK" {
			r.warn("guard", "the control user %s may not run ACL %s, or it cannot be told: there will "+
				"be no guard, and code that cannot be read through is refused", control, sub)
			return false
		}
	}
	v, err := u.Do(ctx, "ACL", "DRYRUN", control, "CLIENT", "LIST")
	if text, _ := v.(string); err != nil || text != "OK" {
		r.warn("guard", "the control user %s may not run CLIENT LIST: the users that killed proxies "+
			"leave behind stay on the server (%s…)", control, guard.Prefix)
	}
	return true
}

// checkUser reports the commands that scripts of one user may run against the rules, and the
// remedy.
func checkUser(ctx context.Context, r *report, u *upstream.Upstream, p *policy.Policy, name string) {
	g, err := guard.For(p, name)
	if err != nil || !enabled(ctx, u, name) {
		return
	}
	var may []*policy.Command
	for _, cmd := range g.Refused {
		var args []any
		for _, word := range policy.DryRun(name, cmd) {
			args = append(args, word)
		}
		v, err := u.Do(ctx, args...)
		if err != nil {
			r.warn("guard", "what scripts of the user %s may run cannot be told: %v", name, err)
			return
		}
		if text, _ := v.(string); text == "OK" {
			may = append(may, cmd)
		}
	}
	switch {
	case len(g.Refused) == 0:
	case len(may) == 0:
		r.ok("guard", "the server refuses the user %s what the rules refuse", name)
	default:
		r.warn("guard", "the server lets scripts of the user %s run %s, so code of his that cannot be "+
			"read through is refused; to bind him (outside of scripts too): %s", name,
			commandNames(may), restriction(name, may))
	}
}

// enabled reports whether clients can log in as the user.
func enabled(ctx context.Context, u *upstream.Upstream, name string) bool {
	v, err := u.Do(ctx, "ACL", "GETUSER", name)
	fields, _ := v.([]any)
	if err != nil || len(fields) < 2 {
		return err == nil
	}
	flags, _ := fields[1].([]any)
	return slices.Contains(flags, any("on"))
}

// restriction is the line that withholds the commands from a user.
func restriction(name string, commands []*policy.Command) string {
	line := "ACL SETUSER " + name
	for _, cmd := range commands {
		line += " -" + cmd.Name
	}
	return line
}

// commandNames lists commands for a line of text.
func commandNames(commands []*policy.Command) string {
	names := make([]string, len(commands))
	for i, cmd := range commands {
		names[i] = spelled(cmd.Name)
	}
	const most = 12
	more := len(names) - most
	if more <= 0 {
		return strings.Join(names, ", ")
	}
	// Of many, the best known ones.
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(strings.Count(a, "CLUSTER"), strings.Count(b, "CLUSTER"))
	})
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
}
