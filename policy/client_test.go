package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestClientChanges has a session change under a policy, and the policy under the session.
func TestClientChanges(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny get users=app\nb: deny get names=x\n"+
		"c: deny get addr=10.0.0.1\nd: deny get listeners=l")})
	other := mustNew(t, Options{Rules: parseRules(t, "z: deny get users=new")})
	c := NewClient(Identity{User: "default"})
	change := func(f func(*Identity)) {
		id := c.Identity()
		f(&id)
		c.SetIdentity(id)
	}
	for i, step := range []struct {
		change func()
		policy *Policy
		want   string
	}{
		{func() {}, p, "allow"},
		{func() { c.SetUser("app") }, p, "deny a"},
		{func() { c.SetUser("new") }, p, "allow"},
		{func() {}, other, "deny z"},
		{func() { c.SetName("x") }, p, "deny b"},
		{func() { c.SetName("") }, p, "allow"},
		{func() { change(func(id *Identity) { id.Addr = netip.MustParseAddr("10.0.0.1") }) }, p, "deny c"},
		{func() { change(func(id *Identity) { id.Addr = netip.Addr{} }) }, p, "allow"},
		{func() { change(func(id *Identity) { id.Listener = "l" }) }, p, "deny d"},
		{func() { change(func(id *Identity) { id.Listener = "m" }) }, other, "deny z"},
	} {
		step.change()
		req := &Request{Cmd: step.policy.Table().ByName("get"), Args: split("GET k"), Client: c}
		if got := show(step.policy.Decide(req)); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// TestManyRules has more rules than fit a word of a set.
func TestManyRules(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		cmd := "get"
		if i%3 == 0 {
			cmd = "del"
		}
		fmt.Fprintf(&text, "r%d: deny %s users=u%d,common keys=k%d\n", i, cmd, i, i)
	}
	p := mustNew(t, Options{Rules: parseRules(t, text.String())})
	for i := range 200 {
		cmd, other := "GET", "DEL"
		if i%3 == 0 {
			cmd, other = other, cmd
		}
		runVerdicts(t, p, []string{
			fmt.Sprintf("user=u%d %s k%d -> deny r%d", i, cmd, i, i),
			fmt.Sprintf("user=common %s k%d -> deny r%d", cmd, i, i),
			fmt.Sprintf("nobody %s k%d -> deny r%d", cmd, i, i),
			fmt.Sprintf("user=common %s k%d -> allow", other, i),
			fmt.Sprintf("user=u%d %s k%d -> allow", i, cmd, i+1),
		})
	}
}
