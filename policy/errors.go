package policy

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of NewTable: the reply is not what COMMAND answers. The
// text says which entry and what was found in it.
var ErrMalformed = errors.New("malformed COMMAND reply")

// RuleError is one thing that is wrong with one rule. New joins all that it finds; errors.As and
// the Unwrap() []error of the joined error lead to each.
type RuleError struct {
	Rule  string // the rule's name; may be empty
	Index int    // the rule's place in Options.Rules, from 0
	Field string // as in the configuration file: "name", "commands", "except", ...
	Item  int    // the element of a list field, from 0; -1 where the field itself is meant
	Text  string // what is wrong
}

// Error names the rule, the field and what is wrong.
func (e *RuleError) Error() string {
	name := fmt.Sprintf("%q", e.Rule)
	if e.Rule == "" {
		name = fmt.Sprintf("#%d", e.Index+1)
	}
	return fmt.Sprintf("rule %s: %s: %s", name, e.Field, e.Text)
}

// RouteError is one thing that is wrong with one route. NewRoutes joins all that it finds, as New
// does.
type RouteError struct {
	Route string // the route's name; may be empty
	Index int    // the route's place among the specs, from 0
	Field string // as in the configuration file: "name", "keys", "ack.replicas", ...
	Item  int    // the element of a list field, from 0; -1 where the field itself is meant
	Text  string // what is wrong
}

// Error names the route, the field and what is wrong.
func (e *RouteError) Error() string {
	name := fmt.Sprintf("%q", e.Route)
	if e.Route == "" {
		name = fmt.Sprintf("#%d", e.Index+1)
	}
	return fmt.Sprintf("route %s: %s: %s", name, e.Field, e.Text)
}
