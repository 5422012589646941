package policy_test

import (
	"fmt"
	"strings"
	"time"

	"holdfast/policy"
)

// words is a request as a client sends it.
func words(line string) (args [][]byte) {
	for w := range strings.FieldsSeq(line) {
		args = append(args, []byte(w))
	}
	return args
}

// The first rule that matches decides; what no rule matches is allowed.
func ExamplePolicy_Decide() {
	p, err := policy.New(policy.Options{Rules: []policy.RuleSpec{
		{Name: "sessions", Commands: []string{"del"}, Keys: []string{"session:*"}, Action: "allow"},
		{Name: "careful", Commands: []string{"flushall", "del"}, Action: "trash", Keep: 24 * time.Hour},
		{Name: "operators", Commands: []string{"@admin"}, Action: "deny"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	app := policy.NewClient(policy.Identity{User: "app"})
	for _, line := range []string{"DEL session:1", "DEL session:1 order:1", "EXPIRE order:1 -1", "CONFIG SET dir /", "GET order:1"} {
		args := words(line)
		v := p.Decide(&policy.Request{Cmd: policy.Builtin().Lookup(args), Args: args, Client: app})
		if v.Rule == nil {
			fmt.Printf("%s: %v\n", line, v.Effective())
			continue
		}
		fmt.Printf("%s: %v, by %s\n", line, v.Effective(), v.Rule.Name)
	}
	// Output:
	// DEL session:1: allow, by sessions
	// DEL session:1 order:1: trash, by careful
	// EXPIRE order:1 -1: trash, by careful
	// CONFIG SET dir /: deny, by operators
	// GET order:1: allow
}

// A write owes the strictest of what its routes ask for, and a read owes nothing.
func ExampleRoutes_Match() {
	routes, err := policy.NewRoutes(nil, []policy.RouteSpec{
		{Name: "payments", Keys: []string{"pay:*"}, Demand: policy.Demand{Journal: true}, Timeout: time.Second},
		{Name: "ledger", Users: []string{"ledger"}, Demand: policy.Demand{Replicas: 1}, Timeout: 500 * time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ledger := policy.NewClient(policy.Identity{User: "ledger"})
	for _, line := range []string{"SET pay:1 10", "SET note:1 x", "GET pay:1"} {
		args := words(line)
		m := routes.Match(&policy.Request{Cmd: policy.Builtin().Lookup(args), Args: args, Client: ledger})
		fmt.Printf("%s: %v within %v\n", line, m.Demand, m.Timeout)
	}
	// Output:
	// SET pay:1 10: journal, replicas 1 within 500ms
	// SET note:1 x: replicas 1 within 500ms
	// GET pay:1: nothing within 0s
}
