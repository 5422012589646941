package main

import (
	"context"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// checkNames warns of commands that rules restrict and that the server knows by another name
// (rename-command). COMMAND lists them by the names that they were born with; only COMMAND INFO goes
// by the names that clients can use. Under the new name a command is unknown, and of rules only "*"
// covers it.
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
		return // what the control user lacks is told elsewhere
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

// likeFlush holds what loses a data set as surely as FLUSHALL, or makes away with the rules.
var likeFlush = []string{
	"debug", "replicaof", "slaveof", "failover", "shutdown", "module|load", "module|loadex",
	"acl|setuser", "acl|load", "config|set",
}

// checkForgotten warns of these where rules restrict FLUSHALL and not them.
func checkForgotten(r *report, p *policy.Policy) {
	table := p.Table()
	if flush := table.ByName("flushall"); flush == nil || !p.Restricts(flush) {
		return
	}
	var open []string
	for _, name := range likeFlush {
		if cmd := table.ByName(name); cmd != nil && !p.Restricts(cmd) {
			open = append(open, strings.ToUpper(strings.ReplaceAll(name, "|", " ")))
		}
	}
	if len(open) > 0 {
		r.warn("rules", "FLUSHALL is restricted, and %s are not, which can lose as much: a rule like "+
			"the built-in ones can name them", strings.Join(open, ", "))
	}
}
