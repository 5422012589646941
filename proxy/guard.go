package proxy

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/guard"
	"holdfast/proxy/resp"
)

// guardEnv is the proxy around its guard.
type guardEnv struct{ srv *Server }

func newGuard(srv *Server) *guard.Keeper {
	return guard.New(guard.Options{Instance: srv.instance, Control: controlName, Logger: srv.log}, guardEnv{srv})
}

// Wanted implements guard.Env.
func (e guardEnv) Wanted(ctx context.Context) (guard.Wanted, error) {
	parts, err := gather(ctx, e.srv.loops, func(w *worker) rules { return w.rules })
	if err != nil {
		return guard.Wanted{}, err
	}
	r := parts[0]
	return guard.Wanted{On: e.srv.options().Guard, Policy: r.policy, Trash: r.trash.Reserved != nil,
		Hidden: r.trash.Hidden, Databases: r.trash.Count}, nil
}

// Server implements guard.Env.
func (e guardEnv) Server() guard.Server { return e.srv.up.Load() }

// Up implements guard.Env.
func (e guardEnv) Up() bool { return e.srv.up.Load().Info().Up }

// Use implements guard.Env.
func (e guardEnv) Use(ctx context.Context, u *guard.User) {
	_, _ = gather(ctx, e.srv.loops, func(w *worker) struct{} { w.setGuard(u); return struct{}{} })
}

// setGuard makes g the user of scripts from now on. Links of another guard's user are phased out.
func (w *worker) setGuard(g *guard.User) {
	w.guard = g
	for l := range w.links {
		if l.conn == nil || l.lane == nil || !w.guards(l) && l.guard == nil ||
			guard.Same(l.guard, g) {
			continue
		}
		l.retiring = true
		l.lane.remove(l)
		l.wakeStalled()
		l.retireIfDone()
	}
}

// guards reports whether a link logs in as the guard's user.
func (w *worker) guards(l *link) bool {
	return l.lane != nil && l.lane.key.kind.runsCode() && w.guardsIdentity(l.ident)
}

func (w *worker) guardsIdentity(i *identity) bool {
	return i.key == defaultKey
}

// guardOf returns the guard that binds the code that the session's next command runs or loads; nil:
// none.
func (f *frame) guardOf() *policy.Guard {
	if f.b != script && !f.cmd.Effects.Has(policy.EffectCode) ||
		f.unguardedWhy() != "" {
		return nil
	}
	return f.s.w.guard.Policy
}

// disguise is the user as whom a link has logged in instead of its identity.
type disguise struct {
	guard *guard.User // nil: none
}

// guardAuth returns the login of a guarded link.
func (d *disguise) guardAuth() []string { return []string{"aUtH", d.guard.Name, d.guard.Password} }

// becomeGuard is the step by which a link logs in as the guard's user.
func (d *disguise) becomeGuard(g *guard.User) prepStep {
	d.guard = g
	return prepStep{args: d.guardAuth(), must: true, instead: (*link).guardMissing}
}

// guardMissing ends a link that could not log in as the guard's user, and wakes the keeper to make
// that user again.
func (l *link) guardMissing() []prepStep {
	l.w.srv.guard.Wake()
	l.fail(errNotNow(resp.OwnError(textGuardMissing)))
	return nil
}

// unguarded replaces the guard's user in an error of a guarded link by the name that the client
// knows.
func (d *disguise) unguarded(reply []byte) []byte {
	if d.guard == nil || len(reply) == 0 || reply[0] != '-' {
		return reply
	}
	return bytes.ReplaceAll(reply, []byte(d.guard.Name), []byte("default"))
}

// touchesGuard answers commands by which a client would become or change a user of the proxy's own.
// Logins fail as if the user did not exist, and changes are denied.
func (f *frame) touchesGuard() next {
	cmd := f.cmd
	switch {
	case cmd.Name == "auth" && len(f.Args) == 3 && guard.Is(f.Args[1]):
	case cmd.Name == "hello" && helloAsGuard(f.Args):
	case strings.HasPrefix(cmd.Name, "acl|") && changesGuard(f.Args):
		name := commandName(cmd, f.Args)
		f.audit(&policy.Rule{Name: "guard", Action: policy.Deny}, denied, "")
		return f.refuse(fmt.Sprintf(textGuardUser, spoken(name)))
	default:
		return goOn
	}
	return f.refuse(textWrongPass)
}

func helloAsGuard(args [][]byte) bool {
	h := parseHello(args)
	return h.auth != nil && guard.Is([]byte(h.auth.user))
}

// changesGuard reports whether a user of the proxy's own is among those that ACL SETUSER or DELUSER
// names.
func changesGuard(args [][]byte) bool {
	if len(args) < 3 {
		return false
	}
	names := args[2:]
	if resp.EqualFold(args[1], "setuser") {
		names = names[:1]
	}
	for _, name := range names {
		if guard.Is(name) {
			return true
		}
	}
	return false
}
