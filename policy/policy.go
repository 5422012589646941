package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is a set of rules compiled against one command table.
//
// A rule names commands, so which rules a request can meet depends on its command alone. New
// works that out for every command of the table, and Decide is one array index. What depends on
// more than the command (who asks, from where, which keys) belongs behind that index, as a list
// of candidates that only the commands of such rules have: a command that no rule names must stay
// free. The design that was rejected walks all rules for each request and is slower with every
// rule.
//
// The first rule that covers a command decides. A rule that is only observed does not decide: the
// search goes on past it, so that adding a rule in order to observe it never weakens the rules
// below. Where one below decides, the verdict carries the observed one as Shadow; where none does,
// the verdict is the observed rule's own, with Observed set.
type Policy struct {
	table      *Table
	rules      []*Rule
	verdicts   []Verdict // by Command.ID
	unresolved []string
}

// Options is what a policy is built from.
type Options struct {
	Table       *Table     // nil means Builtin
	Rules       []RuleSpec // in order; none allows everything
	Enforcement string     // "enforce", "observe" or empty, which means enforce

	// AllowUnknown takes names that the table does not know as names of commands that the
	// server does not have, instead of an error. It is for building a policy on the built-in
	// table while the server is away: the server may know more.
	AllowUnknown bool
}

// Request is what is known of one command that a client sent.
type Request struct {
	Cmd        *Command // from Policy.Table
	Args       [][]byte // with the name; not kept
	User       string
	ClientAddr string
	ClientName string
	Listener   string
	DB         int
}

// Verdict is what to do with a request.
type Verdict struct {
	Action   Action
	Rule     *Rule // the rule that decided; nil when none covers the command, which allows it
	Observed bool  // report the action and forward the request all the same
	Shadow   *Rule // the first observed rule above Rule that covers the command as well, or nil
}

// New compiles rules against a table. The error joins everything that is wrong, each a *RuleError
// except for what is not of one rule.
func New(o Options) (*Policy, error) {
	if o.Table == nil {
		o.Table = Builtin()
	}
	c := compiler{table: o.Table, tolerant: o.AllowUnknown, names: make(map[string]int)}
	switch strings.ToLower(o.Enforcement) {
	case "", Enforce:
	case Observe:
		c.observe = true
	default:
		c.errs = append(c.errs, fmt.Errorf("enforcement: want enforce or observe, got %q",
			o.Enforcement))
	}
	p := &Policy{table: o.Table, verdicts: make([]Verdict, o.Table.Len())}
	all := make([]compiled, 0, len(o.Rules))
	for i, spec := range o.Rules {
		rule := c.compile(i, spec)
		all = append(all, rule)
		p.rules = append(p.rules, rule.rule)
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	for id := range p.verdicts {
		p.verdicts[id] = decide(all, id)
	}
	slices.Sort(c.unresolved)
	p.unresolved = slices.Compact(c.unresolved)
	return p, nil
}

// decide finds the verdict for one command.
func decide(rules []compiled, id int) Verdict {
	var observed *Rule
	for _, r := range rules {
		if !r.covers[id] {
			continue
		}
		if !r.rule.Observe {
			return Verdict{Action: r.rule.Action, Rule: r.rule, Shadow: observed}
		}
		if observed == nil {
			observed = r.rule
		}
	}
	if observed != nil {
		return Verdict{Action: observed.Action, Rule: observed, Observed: true}
	}
	return Verdict{}
}

// Decide returns the verdict for a request. It allocates nothing and keeps nothing of req. A
// command that does not come from the policy's own table, as when a reload overtakes a request, is
// found again by its name.
func (p *Policy) Decide(req *Request) Verdict {
	cmd := req.Cmd
	if cmd == nil || cmd.Name == "" {
		return p.decideUnknown(req.Args)
	}
	if uint(cmd.ID) < uint(len(p.table.cmds)) && p.table.cmds[cmd.ID] == cmd {
		return p.verdicts[cmd.ID]
	}
	return p.decideForeign(cmd)
}

// decideForeign decides for a command of another table. A subcommand that this table does not
// have is one that its container does not know.
func (p *Policy) decideForeign(cmd *Command) Verdict {
	for ; cmd != nil; cmd = cmd.Parent {
		if own := p.table.byName[cmd.Name]; own != nil {
			return p.verdicts[own.ID]
		}
	}
	return p.verdicts[0]
}

// decideUnknown decides for a name that the table does not have. Only "*" covers it, unless it may
// be a subcommand that a rule restricts.
func (p *Policy) decideUnknown(args [][]byte) Verdict {
	if sub := p.table.joinedSub(args); sub != nil {
		if v := p.verdicts[sub.ID]; v.Action.restricts() {
			return v
		}
	}
	return p.verdicts[0]
}

// Rules returns the rules in order. The slice must not be changed.
func (p *Policy) Rules() []*Rule { return p.rules }

// Table is the table that the policy was compiled against.
func (p *Policy) Table() *Table { return p.table }

// Unresolved lists, in lower case and in order, the names in rules that the table does not have
// and that were let stand: the server does not have these commands, or not by these names. They
// match nothing, which is worth a line in a log.
func (p *Policy) Unresolved() []string { return p.unresolved }
