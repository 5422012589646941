package policy

import (
	"fmt"
	"strings"
)

// Guard is the set of commands to withhold from a user on the server, so that the server itself
// refuses inside scripts and functions the commands that the rules refuse outside. It is the real
// protection: a scanner can be fooled, the server's ACL cannot.
//
// An ACL knows users and commands. It does not know a rule's addresses, databases, numbers, times
// or keys, so it can only allow or refuse outright a command that a rule refuses under such
// conditions:
//
//   - A command that touches more than the keys it names (FLUSHALL, CONFIG SET, KEYS) is refused;
//     requests for it that the rules allow outside scripts take a link of another user.
//   - A command that touches only the keys it names (DEL) stays allowed, since ordinary scripts
//     need it, and is reported as a gap. GuardOptions.Strict refuses it as well. For gaps,
//     DecideScript relies on the scanner, and opaque code is judged as if there were no guard.
//
// A Guard belongs to the policy that made it, and is immutable.
type Guard struct {
	Refused []*Command // withheld from the user, by ID; for the proof by DryRun
	Gaps    []Gap      // allowed to the user, though rules sometimes or always refuse them

	of       *Policy
	table    *Table
	refused  []bool // by Command.ID
	nameless bool   // commands missing from the table are refused: allow by name only
}

// Of reports whether the guard was made for p.
func (g *Guard) Of(p *Policy) bool { return g.of == p }

// Gap is a command that a rule restricts and the guard does not.
type Gap struct {
	Command *Command
	Rule    *Rule
	Why     string
}

// GuardOptions selects the user and the strictness of a guard.
type GuardOptions struct {
	User   string   // the sessions' user; "default" where they do not authenticate
	Need   []string // commands, by name, that stay allowed whatever the rules say
	Strict bool     // also refuse commands that rules refuse for some keys only
}

// Guard builds the guard for sessions of one user. An error lists the names in Need that the table
// does not have.
func (p *Policy) Guard(o GuardOptions) (*Guard, error) {
	g := &Guard{of: p, table: p.table, refused: make([]bool, p.table.Len())}
	need := make([]bool, p.table.Len())
	for _, name := range o.Need {
		cmd := p.table.ByName(name)
		if cmd == nil {
			return nil, fmt.Errorf("guard: unknown command %q", name)
		}
		need[cmd.ID] = true
		for _, sub := range cmd.Subs {
			need[sub.ID] = true
		}
	}
	for _, cmd := range p.table.cmds {
		refuse, gap := p.guards(cmd, &o)
		switch {
		case refuse && need[cmd.ID]:
			refuse, gap.Why = false, "links need it"
		case refuse && cmd.Flags.Has(FlagNoAuth):
			refuse, gap.Why = false, "the server lets everybody run it"
		}
		switch {
		case refuse:
			g.refused[cmd.ID] = true
			g.Refused = append(g.Refused, cmd)
		case gap.Rule != nil:
			g.Gaps = append(g.Gaps, gap)
		}
	}
	if g.nameless = g.refused[0]; g.nameless {
		g.Refused = g.Refused[1:] // the unknown command has no name to try
	}
	return g, nil
}

// guards reports whether to withhold the command from the user, or which rule about it the guard
// leaves open; then Gap.Rule is always set.
func (p *Policy) guards(cmd *Command, o *GuardOptions) (refuse bool, gap Gap) {
	note := func(r *Rule, why string) {
		if gap.Rule == nil {
			gap = Gap{cmd, r, why}
		}
	}
	for _, c := range p.decisions[cmd.ID].all() {
		r, cond := c.rule, c.rule.cond
		refuses := r.Action.restricts() || r.Action == Rewrite && RewriteOf(cmd).spares()
		switch {
		case r.Observe || cond != nil && len(cond.users) > 0 && !cond.users.matchString(o.User):
		case !refuses:
			if r.Limit != nil {
				note(r, "its limit does not count inside scripts")
			}
			if !cond.besidesUsers() && !c.past {
				return false, gap
			}
		case !cond.besidesUsers() && !c.past, cmd.isWhole(), o.Strict:
			return true, Gap{cmd, r, ""}
		case c.past:
			note(r, "a time in the past deletes, and an ACL does not see times")
		default:
			note(r, "an ACL does not know the rule's conditions")
		}
	}
	return false, gap
}

// all returns the candidates, including those behind a fixed verdict.
func (d *decision) all() []candidate {
	if d.candidates != nil || d.fixed.Rule == nil {
		return d.candidates
	}
	return []candidate{{rule: d.fixed.Rule}}
}

// besidesUsers reports whether there are conditions on anything but the user.
func (c *conditions) besidesUsers() bool {
	return c != nil && (len(c.names)+len(c.listeners)+len(c.databases)+len(c.keys)+
		len(c.arguments) > 0 ||
		!c.anyAddress || c.opaque || c.keysOver > 0)
}

// isWhole reports whether the command is about more than the keys that it names.
func (c *Command) isWhole() bool {
	const whole = EffectFlush | EffectSwap | EffectReplace | EffectAdmin | EffectCode
	return c.ID != 0 && !c.runsCode && (c.unnamed || c.Effects.Any(whole))
}

// Refuses reports whether the guard makes the server refuse the command, so that a request that the
// rules allow must take a link of another user.
func (g *Guard) Refuses(cmd *Command) bool {
	return cmd.ID < len(g.refused) && g.table.cmds[cmd.ID] == cmd && g.refused[cmd.ID]
}

// Permissions is the part of an ACL rule that lists the user's rights: "+@all -flushall ...". Where
// the rules refuse unknown commands, it allows by name instead, so that a command that a module or
// an update brings is refused as well.
func (g *Guard) Permissions() []string {
	rules, mark := []string{"+@all"}, "-"
	if g.nameless {
		rules, mark = []string{"-@all"}, "+"
	}
	listed := g.refused
	if g.nameless {
		listed = make([]bool, len(g.refused))
		for id := range listed {
			listed[id] = id > 0 && !g.refused[id]
		}
	}
	for _, cmd := range g.table.cmds[1:] {
		switch {
		case cmd.Parent != nil:
		case !cmd.IsContainer():
			if listed[cmd.ID] {
				rules = append(rules, mark+cmd.Name)
			}
		default:
			rules = append(rules, containerRules(cmd, listed, mark)...)
		}
	}
	return rules
}

// containerRules lists a container and its subcommands. A container that is listed itself while
// some of its subcommands are not is refused with exceptions, or allowed by its subcommands alone:
// a subcommand that neither names is refused.
func containerRules(cmd *Command, listed []bool, mark string) (rules []string) {
	all := listed[cmd.ID]
	var in, out []string
	for _, sub := range cmd.Subs {
		all = all && listed[sub.ID]
		if listed[sub.ID] {
			in = append(in, mark+sub.Name)
		} else {
			out = append(out, "+"+sub.Name)
		}
	}
	switch {
	case all:
		return []string{mark + cmd.Name}
	case mark == "-" && listed[cmd.ID]:
		return append([]string{"-" + cmd.Name}, out...)
	}
	return in
}

// SetUser is the request that gives the user exactly the guard's rights: enabled, with one password
// given by its SHA-256 in hexadecimal digits, all keys and all channels.
func (g *Guard) SetUser(name, passwordSHA256 string) []string {
	return append([]string{"ACL", "SETUSER", name, "reset", "on", "#" + passwordSHA256, "~*", "&*"},
		g.Permissions()...)
}

// Restrict is the request that withholds the guard's commands from an existing user and changes
// nothing else. It cannot withhold unknown commands. Nil: nothing to withhold.
func (g *Guard) Restrict(name string) []string {
	if len(g.Refused) == 0 {
		return nil
	}
	words := []string{"ACL", "SETUSER", name}
	for _, cmd := range g.table.cmds[1:] {
		switch {
		case cmd.Parent != nil:
		case !cmd.IsContainer():
			if g.refused[cmd.ID] {
				words = append(words, "-"+cmd.Name)
			}
		default:
			rules := containerRules(cmd, g.refused, "-")
			if len(rules) > 1 && rules[0] == "-"+cmd.Name {
				rules = rules[:0] // its exceptions would be grants
				for _, sub := range cmd.Subs {
					if g.refused[sub.ID] {
						rules = append(rules, "-"+sub.Name)
					}
				}
			}
			words = append(words, rules...)
		}
	}
	return words
}

// DryRun is the request that asks the server whether a user may run the command. It answers OK if
// the user may, and otherwise a text or an error; the arguments are made up, of the right number.
func DryRun(user string, cmd *Command) []string {
	words := append([]string{"ACL", "DRYRUN", user}, strings.Split(cmd.Name, "|")...)
	for n := len(words) - 3; n < max(cmd.Arity, -cmd.Arity); n++ {
		words = append(words, "1")
	}
	return words
}
