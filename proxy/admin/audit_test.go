package admin

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Each change is in the audit log: who made it, the change, and its outcome.
func TestActionsAreAudited(t *testing.T) {
	b := &fakeBackend{}
	c := dial(t, start(t, Options{}, b))
	for _, row := range []struct{ command, name, result string }{
		{"UNDO 4", "undo", "OK, 12 keys are back"},
		{"undo 4 merge", "undo", "OK, 10 keys are back; 2 that were written since stay"},
		{"UNDO 0", "undo", "ERR the id of an entry"},
		{"PURGE 5", "purge", "OK"},
		{"RESET BUDGET each bob", "reset budget", "OK: 3 had been used up"},
		{"RESET BUDGET nobody", "reset budget", "ERR no budget is called nobody"},
		{"KILL SESSION 27", "kill session", "OK"},
		{"KILL SESSION 28", "kill session", "ERR no session 28"},
		{"RELOAD", "reload", "OK"},
		{"SNAPSHOT", "snapshot", "base-2.rdb"},
		{"ACKNOWLEDGE INCIDENTS", "acknowledge incidents", "OK"},
		{"DRAIN", "drain", "OK"},
		{"FAILOVER", "failover", "OK, from a:1 to b:1, coordinated by the servers; writes waited for 20ms"},
	} {
		c.do(row.command)
		var got Action
		b.locked(func() {
			if len(b.actions) == 1 {
				got = b.actions[0]
			}
			b.actions = nil
		})
		if got.Name != row.name || got.Command != row.command ||
			got.Operator != c.LocalAddr().String() || !strings.HasPrefix(got.Result, row.result) {
			t.Errorf("%s: got %+v, want %+v", row.command, got, row)
		}
	}
	b.locked(func() { b.err = errors.New("the disk is gone") })
	c.do("PURGE 5")
	c.do("SHOW TRASH")
	b.locked(func() {
		if len(b.actions) != 1 || b.actions[0].Result != "ERR the disk is gone" {
			t.Errorf("of a failed PURGE and a SHOW: got %+v", b.actions)
		}
	})
}

// A command that changes something must say so in the table.
func TestWhichCommandsAct(t *testing.T) {
	decided := []string{"APPROVE", "REJECT"} // the backend tells of these
	for _, c := range commands {
		shows := c.quiet || strings.HasPrefix(c.name, "SHOW ") || slices.Contains(decided, c.name) ||
			slices.ContainsFunc(connectionCommands, func(o *command) bool { return o == c })
		if c.acts == shows {
			t.Errorf("%s: acts is %v", c.name, c.acts)
		}
	}
}
