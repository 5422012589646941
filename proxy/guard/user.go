package guard

import (
	"bytes"
	"errors"
	"slices"

	"holdfast/policy"
)

// A User is the guard's user. It is immutable.
type User struct {
	Name, Password string
	Policy         *policy.Guard // the commands that it may not run

	of Server
}

// On reports whether it is a user of that server.
func (u *User) On(s Server) bool { return u.of == s }

// Same reports whether a and b, each of which may be nil, are one user.
func Same(a, b *User) bool {
	return a == b || a != nil && b != nil && a.Name == b.Name && a.of == b.of
}

// Prefix is the prefix of such users' names.
const Prefix = "holdfast-guard-"

// Is reports whether name is a user of the proxy's own.
func Is(name []byte) bool { return bytes.HasPrefix(name, []byte(Prefix)) }

// errNoDefault: no client can be the user default.
var errNoDefault = errors.New("the user default is off")

// needs are the commands that links and the proxy's own scripts need, in addition to those
// that no code can call, which a guard never restricts.
var needs = []string{"select", "ping", "info"}

// For returns the restrictions of a user with which the server refuses inside scripts the
// commands that the rules refuse outside.
func For(p *policy.Policy, user string) (*policy.Guard, error) {
	o := policy.GuardOptions{User: user}
	for _, name := range needs {
		if p.Table().ByName(name) != nil {
			o.Need = append(o.Need, name)
		}
	}
	for _, cmd := range p.Table().All() {
		if cmd.ID != 0 && cmd.Flags.Has(policy.FlagNoScript) {
			o.Need = append(o.Need, cmd.Name)
		}
	}
	g, err := p.Guard(o)
	if err == nil {
		g.Gaps = slices.DeleteFunc(g.Gaps, func(gap policy.Gap) bool {
			return gap.Command.Flags.Has(policy.FlagNoScript) // no code can call it
		})
	}
	return g, err
}
