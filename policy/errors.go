package policy

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of NewTable: the reply is not a COMMAND reply. The text
// names the entry and shows the unexpected value.
var ErrMalformed = errors.New("malformed COMMAND reply")

// RuleError is one fault of one rule. New joins all of them; errors.As and the Unwrap() []error of
// the joined error lead to each.
type RuleError struct {
	Rule  string // the rule's name; may be empty
	Index int    // the rule's place in Options.Rules, from 0
	Field string // as in the configuration file: "name", "commands", "except", ...
	Item  int    // the element of a list field, from 0; -1 where the field itself is meant
	Text  string // the fault
}

// Error names the rule, the field and the fault.
func (e *RuleError) Error() string {
	name := fmt.Sprintf("%q", e.Rule)
	if e.Rule == "" {
		name = fmt.Sprintf("#%d", e.Index+1)
	}
	return fmt.Sprintf("rule %s: %s: %s", name, e.Field, e.Text)
}

// RouteError is one fault of one route. NewRoutes joins all of them, as New does.
type RouteError struct {
	Route string // the route's name; may be empty
	Index int    // the route's place among the specs, from 0
	Field string // as in the configuration file: "name", "keys", "ack.replicas", ...
	Item  int    // the element of a list field, from 0; -1 where the field itself is meant
	Text  string // the fault
}

// Error names the route, the field and the fault.
func (e *RouteError) Error() string {
	name := fmt.Sprintf("%q", e.Route)
	if e.Route == "" {
		name = fmt.Sprintf("#%d", e.Index+1)
	}
	return fmt.Sprintf("route %s: %s: %s", name, e.Field, e.Text)
}
