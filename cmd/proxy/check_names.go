package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/configs"
	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// checkNames warns of restricted commands that the server knows by another name (rename-command).
// COMMAND lists their original names; only COMMAND INFO goes by the names that clients can use.
// Under the new name a command is unknown, and only a rule for "*" covers it.
func checkNames(ctx context.Context, r *report, u *upstream.Upstream, p *policy.Policy) {
	args := []any{"COMMAND", "INFO"}
	var commands []*policy.Command
	for _, cmd := range p.Table().All() {
		if cmd.ID != 0 && cmd.Parent == nil && restrictsAny(p, cmd) {
			commands = append(commands, cmd)
			args = append(args, cmd.Name)
		}
	}
	if len(commands) == 0 {
		return
	}
	v, err := u.Do(ctx, args...)
	replies, _ := v.([]any)
	if err != nil || len(replies) != len(commands) {
		return // other checks report missing rights
	}
	var renamed []*policy.Command
	for i, reply := range replies {
		if reply == nil {
			renamed = append(renamed, commands[i])
		}
	}
	if len(renamed) > 0 {
		r.warn("rules", "the server has %s by other names (rename-command), and by these the rules do not "+
			"see them; a rule for \"*\" does, and so does an ACL", commandNames(renamed))
	}
}

// restrictsAny reports whether rules restrict the command, or a subcommand of it.
func restrictsAny(p *policy.Policy, cmd *policy.Command) bool {
	for _, sub := range cmd.Subs {
		if p.Restricts(sub) {
			return true
		}
	}
	return p.Restricts(cmd)
}

// forgotten names a command, and others that lose as much data or disable the rules.
var forgotten = []struct {
	command string
	like    []string
}{
	{"flushall", []string{
		"flushdb", "debug", "replicaof", "failover", "shutdown", "module|load", "module|loadex",
		"acl|setuser", "acl|load", "config|set",
	}},
	{"del", []string{"unlink", "getdel", "rename", "restore", "copy", "migrate"}},
}

// likeDel adds to the list the commands of the server's table that delete whole keys: newer servers
// have more.
func likeDel(t *policy.Table, list []string) []string {
	list = slices.Clip(list)
	for _, cmd := range t.All() {
		if cmd.Effects.Any(policy.EffectDelete) && cmd.Name != "del" &&
			!cmd.Flags.Has(policy.FlagModule) && !slices.Contains(list, cmd.Name) {
			list = append(list, cmd.Name)
		}
	}
	return list
}

// checkUnforeseen names the write commands that this version does not know.
func checkUnforeseen(r *report, t *policy.Table) {
	if list := t.Unforeseen(); len(list) > 0 {
		r.warn("rules", "the server has commands that write and that this version does not know: %s; "+
			"rules see them by name, by @write and by \"*\", and of what they delete only what the "+
			"server says of their keys", commandNames(list))
	}
}

// checkForgotten warns where rules restrict a command but not its equivalents.
func checkForgotten(r *report, p *policy.Policy) {
	restricts := func(name string, unknown bool) bool {
		cmd := p.Table().ByName(name)
		return cmd == nil && unknown || cmd != nil && p.Restricts(cmd)
	}
	for _, f := range forgotten {
		if !restricts(f.command, false) {
			continue
		}
		if f.command == "del" {
			f.like = likeDel(p.Table(), f.like)
		}
		var open []string
		for _, name := range f.like {
			if !restricts(name, true) {
				open = append(open, spelled(name))
			}
		}
		if len(open) > 0 {
			r.warn("rules", "%s is restricted, and not %s, by which as much can be lost: a rule "+
				"can name them, too", spelled(f.command), strings.Join(open, ", "))
		}
	}
}

// checkRuleDatabases warns of databases that the server does not have.
func checkRuleDatabases(r *report, c *configs.Config, p *policy.Policy, info *upstream.Info) {
	for _, rule := range p.Rules() {
		for _, db := range rule.Spec.Databases {
			if info.Databases > 0 && db >= info.Databases {
				r.add(ruleFinding(c, rule, fmt.Sprintf("names database %d, and the server has %d",
					db, info.Databases)))
			}
		}
	}
}
