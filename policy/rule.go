package policy

import (
	"fmt"
	"strings"
)

// RuleSpec is one rule as the configuration file says it.
type RuleSpec struct {
	// Name identifies the rule in errors, logs and metrics. It must be unique and not empty.
	Name string

	// Commands says which commands the rule is about, each in any case as
	//   - a command, "flushall". The name of a container, "config", covers all its
	//     subcommands, and unknown ones.
	//   - a subcommand, "config|set" (or "config set").
	//   - an ACL category, "@dangerous".
	//   - "*", every command, and the only form that covers unknown commands.
	Commands []string

	// Except takes commands out of Commands again. The forms are the same.
	Except []string

	// Action is "allow" or "deny".
	Action string

	// Enforcement is "enforce", "observe" or empty, which means Options.Enforcement.
	Enforcement string
}

// Action is what a verdict says to do with a request.
type Action uint8

// The actions.
const (
	Allow Action = iota // forward it
	Deny                // refuse it
)

var actionNames = [...]string{Allow: "allow", Deny: "deny"}

// String is the action's name in the configuration file.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

func parseAction(name string) (Action, bool) {
	for a, n := range actionNames {
		if strings.EqualFold(name, n) {
			return Action(a), true
		}
	}
	return 0, false
}

// restricts reports whether the action takes something away from a client. A restricting rule
// that is in doubt matches; one that does not restrict is in doubt no match.
func (a Action) restricts() bool { return a != Allow }

// Enforcement says whether rules act.
const (
	Enforce = "enforce" // rules act; the default
	Observe = "observe" // rules report what they would do, and do nothing
)

// Rule is one compiled rule.
type Rule struct {
	Name    string
	Index   int // its place among the rules of its policy, from 0
	Action  Action
	Observe bool     // it reports and does not act
	Spec    RuleSpec // as configured
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

// compiler turns the specs of one policy into rules, gathering everything that is wrong.
type compiler struct {
	table      *Table
	observe    bool // what an empty Enforcement means
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
		fail("action", -1, "want allow or deny, got %q", spec.Action)
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
	return compiled{rule, covers}
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
