package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// RuleSpec is one rule as configured. A rule matches a request if it covers the command and every
// condition holds; one element of a list is enough.
type RuleSpec struct {
	// Name identifies the rule in errors, logs and metrics. It must be unique and not empty.
	Name string

	// Commands selects the rule's commands, each in any case as
	//   - a command, "flushall". The name of a container, "config", covers all its
	//     subcommands, and unknown ones.
	//   - a subcommand, "config|set" (or "config set").
	//   - an ACL category, "@dangerous".
	//   - "*", every command, and the only form that covers unknown commands.
	// A rule that covers DEL covers EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, GETEX, SET and RESTORE
	// with a time in the past as well, since they delete the key, unless its action is rewrite. One
	// that restricts REPLICAOF, SYNC or RESTORE also restricts SLAVEOF, PSYNC or RESTORE-ASKING.
	Commands []string

	// Except takes commands out of Commands again. The forms are the same.
	Except []string

	Users       []string // globs over the user's name
	Addresses   []string // client addresses: "10.0.0.0/8", "::1", or "unix"
	ClientNames []string // globs over the name that the client gave itself
	Listeners   []string // addresses of listeners, as configured
	Databases   []int    // numbers of databases

	// Keys is globs over keys, as KEYS has them. A request with several keys gets the strictest of
	// their verdicts. A restricting rule assumes that a request with unnamed keys (FLUSHALL, KEYS,
	// a script) reaches all of them.
	Keys []string

	// Arguments is globs over the words after the command's name, in any case. One matching
	// argument is enough, such as a parameter of CONFIG SET; a rule that does not restrict needs
	// all of them to match.
	Arguments []string

	// KeysOver matches requests with more keys than this; 0 is no condition. For a restricting
	// rule, a request with unnamed keys has too many.
	KeysOver int

	// Scripts, if it is "opaque", matches requests that run or load code with unknown calls.
	Scripts string

	// Action is "allow", "deny", "confirm", "trash" or "rewrite". The last two are possible for
	// some commands only (Trashable, RewriteOf).
	Action string

	// Keep is the lifetime of the trash; 0 means DefaultKeep. Only with trash.
	Keep time.Duration

	// Limit bounds how often the rule lets its action happen. Nil: no bound.
	Limit *LimitSpec

	// Enforcement is "enforce", "observe" or empty, which means Options.Enforcement.
	Enforcement string
}

// DefaultKeep is the lifetime of the trash where a rule does not set it.
const DefaultKeep = 24 * time.Hour

// The values of Enforcement.
const (
	Enforce = "enforce" // rules act; the default
	Observe = "observe" // rules only report their would-be action
)

// Rule is one compiled rule.
type Rule struct {
	Name    string
	Index   int // its place among the rules of its policy, from 0
	Action  Action
	Observe bool          // it only reports
	Keep    time.Duration // the lifetime of the trash; 0 unless the action is trash
	Limit   *Limit        // nil: none
	Spec    RuleSpec      // as configured

	cond *conditions // the conditions beyond the command; nil: none
}

// String is for logs and the console: "flush: deny flushall flushdb".
func (r *Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s", r.Name, r.Action, strings.Join(r.Spec.Commands, " "))
	if len(r.Spec.Except) > 0 {
		fmt.Fprintf(&b, " except %s", strings.Join(r.Spec.Except, " "))
	}
	if r.Observe {
		b.WriteString(" (observed only)")
	}
	return b.String()
}

// compiler turns the specs of one policy into rules and gathers every fault.
type compiler struct {
	table      *Table
	observe    bool // the meaning of an empty Enforcement
	tolerant   bool // Options.AllowUnknown
	names      map[string]int
	errs       []error
	unresolved []string
}

// compiled is a rule with the commands that it covers.
type compiled struct {
	rule   *Rule
	covers []bool // by Command.ID
}

// failure reports a fault in a field of a rule, or in one of its items; -1 for the field.
type failure func(field string, item int, format string, args ...any)

func (c *compiler) compile(index int, spec RuleSpec) compiled {
	fail := func(field string, item int, format string, args ...any) {
		c.errs = append(c.errs, &RuleError{spec.Name, index, field, item,
			fmt.Sprintf(format, args...)})
	}
	if first, taken := c.names[spec.Name]; spec.Name == "" {
		fail("name", -1, "must not be empty")
	} else if taken {
		fail("name", -1, "rule #%d has the same name", first+1)
	} else {
		c.names[spec.Name] = index
	}
	action, ok := parseAction(spec.Action)
	if !ok {
		fail("action", -1, "want allow, deny, confirm, trash or rewrite, got %q", spec.Action)
	}
	rule := &Rule{Name: spec.Name, Index: index, Action: action, Observe: c.observe, Spec: spec}
	switch strings.ToLower(spec.Enforcement) {
	case "":
	case Enforce:
		rule.Observe = false
	case Observe:
		rule.Observe = true
	default:
		fail("enforcement", -1, "want enforce or observe, got %q", spec.Enforcement)
	}
	rule.setKeep(fail)
	rule.Limit = newLimit(spec.Limit, fail)
	rule.cond = newConditions(&spec, fail)
	covers := c.coverRule(&spec, action, fail)
	c.checkPossible(action, covers, fail)
	return compiled{rule, covers}
}

func (r *Rule) setKeep(fail failure) {
	switch keep := r.Spec.Keep; {
	case keep != 0 && r.Action != Trash:
		fail("keep", -1, "only a rule with the action trash keeps anything")
	case keep < 0:
		fail("keep", -1, "must not be negative, got %v", keep)
	case keep == 0 && r.Action == Trash:
		r.Keep = DefaultKeep
	default:
		r.Keep = keep
	}
}

// coverRule resolves the commands that the rule covers.
func (c *compiler) coverRule(spec *RuleSpec, action Action, fail failure) []bool {
	if len(spec.Commands) == 0 {
		fail("commands", -1, `must not be empty ("*" means every command)`)
	}
	covers := c.cover(action.restricts(), spec.Commands, func(item int, text string) {
		fail("commands", item, "%s", text)
	})
	spared := c.cover(!action.restricts(), spec.Except, func(item int, text string) {
		fail("except", item, "%s", text)
	})
	for id := range covers {
		covers[id] = covers[id] && !spared[id]
	}
	return covers
}

// checkPossible refuses a rule whose action cannot be carried out for some command that it covers:
// a command that is neither trashed nor refused would fall through.
func (c *compiler) checkPossible(a Action, covers []bool, fail failure) {
	possible := Trashable
	switch a {
	case Trash:
	case Rewrite:
		possible = func(cmd *Command) bool { return RewriteOf(cmd) != NotRewritable }
	default:
		return
	}
	var names []string
	for id, covered := range covers {
		if cmd := c.table.cmds[id]; covered && !possible(cmd) {
			names = append(names, cmp.Or(cmd.Name, "unknown commands"))
		}
	}
	if len(names) == 0 {
		return
	}
	more := ""
	if n := len(names) - maxSuggestions; n > 0 {
		names, more = names[:maxSuggestions], fmt.Sprintf(" and %d more", n)
	}
	fail("action", -1, "%s is not possible for %s%s", a, strings.Join(names, ", "), more)
}

// cover resolves patterns to the commands that they mean.
func (c *compiler) cover(restricts bool, patterns []string, fail func(int, string)) []bool {
	covers := make([]bool, c.table.Len())
	for item, text := range patterns {
		p, problem := parsePattern(text)
		switch {
		case problem != "":
			fail(item, problem)
		case p.resolve(c.table, restricts, covers):
		case c.tolerant:
			c.unresolved = append(c.unresolved, p.String())
		default:
			if problem := p.unknown(c.table); problem != "" {
				fail(item, problem)
			} else {
				c.unresolved = append(c.unresolved, p.String())
			}
		}
	}
	return covers
}
