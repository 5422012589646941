package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is a set of rules compiled against one command table.
//
// A rule names commands, so the command alone determines the rules that a request can meet. New
// computes them for every command of the table; for a command that no rule with conditions names,
// Decide is one array index. Conditions on more than the command (the client, its address, the
// keys) stand behind that index, as a list of candidates that only the commands of such rules have:
// a command that no rule names stays free. The part that depends on the client and its database is
// computed when such a client first sends the command (view, plan); each request then costs a few
// comparisons of its keys with rules about keys. The rejected design walks all rules for each
// request and slows down with every rule.
//
// The first rule that matches decides. A rule that is only observed does not decide: the
// search goes on past it, so that adding a rule in order to observe it never weakens the rules
// below. Where one below decides, the verdict carries the observed one as Shadow; where none does,
// the verdict is the observed rule's own, with Observed set.
//
// Doubt falls on the strict side. A request with several keys gets the strictest of its keys'
// verdicts, so that a key that may be deleted is no cover for one that may not. Where a condition
// cannot be decided (which keys a script touches), a restricting rule may match and any other does
// not, and the strictest possible verdict counts.
type Policy struct {
	table      *Table
	rules      []*Rule
	decisions  []decision // by Command.ID
	unresolved []string
	idle       []*Rule
	views      views
}

// Options are the inputs of a policy.
type Options struct {
	Table       *Table     // nil means Builtin
	Rules       []RuleSpec // in order; none allows everything
	Enforcement string     // "enforce", "observe" or empty, which means enforce

	// AllowUnknown accepts names that the table does not have as commands that the server lacks,
	// instead of an error. It is for building a policy on the built-in table while the server is
	// away: the server may know more.
	AllowUnknown bool
}

// Request describes one command that a client sent.
type Request struct {
	Cmd    *Command // from Policy.Table
	Args   [][]byte // with the name; not kept
	Client *Client  // nil: not known, which is a doubt
	DB     int
	Script *Script // the analysis of the code that it runs or loads; nil: not known
	Now    int64   // Unix time in ms, for EXPIREAT and its kin; 0: not known
	AnyDB  bool    // DB is not known, as where code may have selected another one

	doubt bool // some of Args are not known
}

// Verdict is what to do with a request.
type Verdict struct {
	Action   Action
	Rule     *Rule // the rule that decided; nil when none matches, which allows it
	Observed bool  // report the action and forward the request all the same
	Shadow   *Rule // the first observed rule above Rule that matches as well, or nil
}

// Effective is the action to carry out: Allow where the verdict is only observed.
func (v Verdict) Effective() Action {
	if v.Observed {
		return Allow
	}
	return v.Action
}

// New compiles rules against a table. The error joins every fault; those of one rule are each a
// *RuleError.
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
	p := &Policy{table: o.Table, decisions: make([]decision, o.Table.Len())}
	all := make([]compiled, 0, len(o.Rules))
	for i, spec := range o.Rules {
		rule := c.compile(i, spec)
		all = append(all, rule)
		p.rules = append(p.rules, rule.rule)
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	busy := make([]bool, len(all))
	for _, cmd := range p.table.cmds {
		p.decisions[cmd.ID] = p.newDecision(all, cmd, busy)
	}
	for i, rule := range p.rules {
		if !busy[i] {
			p.idle = append(p.idle, rule)
		}
	}
	slices.Sort(c.unresolved)
	p.unresolved = slices.Compact(c.unresolved)
	return p, nil
}

// Decide returns the verdict for a request. It keeps nothing of req, and allocates only for the
// first command of its kind from clients of a kind. A command from another table, as when a reload
// overtakes a request, is looked up again by its name.
//
// Decide ignores limits: where the verdict's rule has one, ask Limits.Take next.
func (p *Policy) Decide(req *Request) Verdict {
	cmd := req.Cmd
	if cmd == nil || cmd.Name == "" {
		return p.decideUnknown(req)
	}
	if uint(cmd.ID) < uint(len(p.table.cmds)) && p.table.cmds[cmd.ID] == cmd {
		d := &p.decisions[cmd.ID]
		if d.candidates == nil {
			return d.fixed
		}
		return d.decide(p, req, cmd)
	}
	return p.decideForeign(req)
}

// decideBy decides as if the request were one of cmd, which is of the policy's own table.
func (p *Policy) decideBy(req *Request, cmd *Command) Verdict {
	d := &p.decisions[cmd.ID]
	if d.candidates == nil {
		return d.fixed
	}
	return d.decide(p, req, cmd)
}

// decideForeign decides for a command of another table. A subcommand that this table does not have
// counts as unknown to its container.
func (p *Policy) decideForeign(req *Request) Verdict {
	for cmd := req.Cmd; cmd != nil; cmd = cmd.Parent {
		if own := p.table.byName[cmd.Name]; own != nil {
			return p.decideBy(req, own)
		}
	}
	return p.decideBy(req, p.table.cmds[0])
}

// decideUnknown decides for a name that the table does not have. Only "*" covers it, unless it may
// be a subcommand that a rule restricts.
func (p *Policy) decideUnknown(req *Request) Verdict {
	if sub := p.table.joinedSub(req.Args); sub != nil {
		if v := p.decideBy(req, sub); v.Action.restricts() {
			return v
		}
	}
	return p.decideBy(req, p.table.cmds[0])
}

// Restricts reports whether an enforced rule may keep a client from the command, or change how it
// is carried out.
func (p *Policy) Restricts(cmd *Command) bool {
	for _, c := range p.decisions[cmd.ID].all() {
		if c.rule.Action != Allow && !c.rule.Observe && !c.past {
			return true
		}
	}
	return false
}

// Rules returns the rules in order. The slice must not be changed.
func (p *Policy) Rules() []*Rule { return p.rules }

// Idle returns the rules that can decide about no command of the table: it has none of their
// commands, or earlier rules take all of them.
func (p *Policy) Idle() []*Rule { return p.idle }

// Table is the table that the policy was compiled against.
func (p *Policy) Table() *Table { return p.table }

// Unresolved lists, in lower case and in order, the accepted names in rules that the table does not
// have: the server lacks these commands, or has them under other names. They match nothing, which
// is worth a line in a log.
func (p *Policy) Unresolved() []string { return p.unresolved }
