package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// The guard makes the server itself refuse, inside scripts and functions, the commands that the
// rules refuse outside: the scan of code (scripts.go) can be deceived, the server's ACL cannot.
// While rules refuse commands that code could call, or there is a trash to protect from code, the
// control connection keeps a restricted user on the server: a copy of the user default without the
// refused commands. The shared links on which sessions of the user default run their scripts log in
// as that user.
//
// Only these links do, and temporarily those on which a session runs code in a transaction or with
// other state of its own (guard_pin.go). The proxy decides about ordinary commands and sends them
// by links of the client's own user, so the guard never blocks a command that a rule allows. Code
// that the guard cannot bind is judged as without a guard, which is stricter.
//
// The user's name is derived from its rights and from the process, which alone knows the random
// password and deletes the user when it exits. A missing user, after a restart of the server for
// instance, is noticed when a link cannot log in, and made again. A user that was changed from
// outside, or whose rights no longer match those of the user default, is noticed at the next check,
// a second later. Other proxies delete the user of a killed process, see guard_stale.go.
type guardUser struct {
	name     string
	password string
	of       *upstream.Upstream
	policy   *policy.Guard
}

// GuardPrefix is the prefix of such users' names.
const GuardPrefix = "holdfast-guard-"

const (
	// guardTimeout bounds one check of the guard.
	guardTimeout = 5 * time.Second
	// guardEvery is the interval of the keeper's own checks.
	guardEvery = time.Second
	// staleEvery is the interval at which it looks for other processes' stale users.
	staleEvery = 5 * time.Second
	// staleLooks is the number of such searches by a keeper that has nothing to guard. Its commands
	// show in the server's slow log and MONITOR, so they must end.
	staleLooks = 4
)

// A guardKeeper is the goroutine that keeps the user. It owns its fields, except the channels.
type guardKeeper struct {
	srv        *Server
	kick       chan struct{}      // one token: check again
	asks       chan chan struct{} // likewise, with a signal of completion
	quit, done chan struct{}

	password  string
	current   *guardUser            // nil: none
	made      map[string]*guardUser // by name: users with this process's password
	as        string                // the server's description of current
	calls     aclCalls              // the call counts as of that description
	grants    []string              // mayLeave's result for grantsFor
	grantsFor string
	warned    string // the last warning, which is not repeated
	others    map[string]foreignGuard
	looks     int       // for those
	staleAt   time.Time // when the next search is due
}

func newGuardKeeper(srv *Server) *guardKeeper {
	return &guardKeeper{
		srv: srv, kick: make(chan struct{}, 1), asks: make(chan chan struct{}),
		quit: make(chan struct{}), done: make(chan struct{}), made: map[string]*guardUser{},
		password: rand.Text() + rand.Text(), others: map[string]foreignGuard{},
	}
}

// wake makes the keeper check again. Any goroutine may call it; it never blocks.
func (k *guardKeeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// await makes the keeper check again and waits for the end of the check.
func (k *guardKeeper) await(ctx context.Context) {
	done := make(chan struct{})
	select {
	case k.asks <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// run is the goroutine. Started with the workers, ended by stop.
func (k *guardKeeper) run() {
	defer close(k.done)
	tick := time.NewTicker(guardEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.refresh()
		case <-k.kick:
			k.refresh()
		case done := <-k.asks:
			k.refresh()
			close(done)
		case <-k.quit:
			k.leave()
			return
		}
	}
}

// stop ends the goroutine, which deletes its users.
func (k *guardKeeper) stop() {
	if k != nil {
		close(k.quit)
		<-k.done
	}
}

// refresh brings the server's user, and then the links, in line with the current rules.
func (k *guardKeeper) refresh() {
	srv := k.srv
	ctx, cancel := context.WithTimeout(srv.dialCtx, guardTimeout)
	defer cancel()
	parts, err := gather(ctx, srv.loops, func(w *worker) rules { return w.rules })
	if err != nil {
		return
	}
	srv.mu.Lock()
	wanted := srv.current.Guard
	srv.mu.Unlock()
	var g *guardUser
	if wanted {
		if g, err = k.keep(ctx, srv.up.Load(), &parts[0]); err != nil {
			if !refusedByServer(err) && k.current != nil {
				return // the server is unreachable: keep the current state
			}
			k.warn(err)
		}
	}
	if sameGuard(k.current, g) && (g == nil || k.current.policy.Of(parts[0].policy)) {
		return
	}
	k.current = g
	_, _ = gather(ctx, srv.loops, func(w *worker) struct{} { w.setGuard(g); return struct{}{} })
}

// keep deletes the users of killed processes, and maintains its own; nil without an error: nothing
// to guard.
func (k *guardKeeper) keep(ctx context.Context, up *upstream.Upstream, r *rules) (
	*guardUser, error) {
	pg, err := GuardFor(r.policy, "default")
	idle := err == nil && len(pg.Refused) == 0 && r.trash.reserved == nil
	if now := time.Now(); !now.Before(k.staleAt) && (!idle || k.looks < staleLooks) {
		k.looks, k.staleAt = k.looks+1, now.Add(staleEvery)
		k.clearStale(ctx, up)
	}
	if err != nil || idle {
		return nil, err
	}
	return k.make(ctx, up, r, pg)
}

func (k *guardKeeper) warn(err error) {
	if !k.srv.up.Load().Info().Up {
		return // the outage is logged already; a remaining problem is logged after it
	}
	if text := err.Error(); text != k.warned {
		k.warned = text
		k.srv.log.Warn("there is no guard on the server; code that cannot be read through gets the "+
			"strictest verdict instead", "error", err)
	}
}

// refusedByServer distinguishes a server's refusal from a missing answer.
func refusedByServer(err error) bool {
	var answer interface {
		error
		RedisError()
	}
	return errors.As(err, &answer) || errors.Is(err, errNoDefault) || errors.Is(err, errNoCopy)
}

// errNoDefault: no client can be the user default.
var errNoDefault = errors.New("the user default is off")

// guardNeeds are the commands that links and the proxy's own scripts need, in addition to those
// that no code can call, which a guard never restricts.
var guardNeeds = []string{"select", "ping", "info"}

// GuardFor returns the restrictions of a user with which the server refuses inside scripts the
// commands that the rules refuse outside.
func GuardFor(p *policy.Policy, user string) (*policy.Guard, error) {
	o := policy.GuardOptions{User: user}
	for _, name := range guardNeeds {
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

// make creates the user, or updates it.
func (k *guardKeeper) make(ctx context.Context, up *upstream.Upstream, r *rules,
	pg *policy.Guard) (*guardUser, error) {
	reply, err := up.Do(ctx, "ACL", "GETUSER", "default")
	if err != nil {
		return nil, fmt.Errorf("ACL GETUSER: %w", err)
	}
	original, err := parseACLUser(reply)
	if err != nil {
		return nil, err
	}
	if !original.on {
		return nil, errNoDefault
	}
	hide := r.trash.hideFromCode()
	restrict := hide
	if words := pg.Restrict("x"); words != nil {
		restrict = append(words[3:], hide...)
	}
	c := guardCopy{of: &original, restrict: restrict, grants: k.mayLeave(ctx, up, r.trash, reply)}
	g := &guardUser{name: GuardPrefix + c.hash() + "-" + k.srv.instance,
		password: k.password, of: up, policy: pg}
	calls, known := readACLCalls(ctx, up)
	if known && sameGuard(k.current, g) && calls.still(k.calls) {
		k.calls = calls
		return g, nil
	}
	if is, err := up.Do(ctx, "ACL", "GETUSER", g.name); err == nil && is != nil {
		if sameGuard(k.current, g) && fmt.Sprint(is) == k.as {
			k.calls = calls
			return g, nil // unchanged
		}
		if _, err := up.Do(ctx, "ACL", "DELUSER", g.name); err != nil {
			return nil, fmt.Errorf("ACL DELUSER: %w", err)
		}
	}
	k.made[g.name] = g
	is, err := c.write(ctx, up, g)
	if err != nil {
		_, _ = up.Do(ctx, "ACL", "DELUSER", g.name)
		return nil, err
	}
	k.as, k.warned = is, ""
	k.calls = aclCalls{} // the next check reads it once more
	return g, nil
}

// mayLeave returns the databases that code may select as the guard's user, as permissions: those
// that are not hidden, and that the user default may select itself.
func (k *guardKeeper) mayLeave(ctx context.Context, up *upstream.Upstream, t *trashPlan,
	user any) []string {
	if t.hidden == nil {
		return nil
	}
	if key := fmt.Sprint(up.Address(), t.hidden, t.count, user); key != k.grantsFor {
		k.grants, k.grantsFor = nil, key
		for db := range t.count {
			v, err := up.Do(ctx, "ACL", "DRYRUN", "default", "SELECT", fmt.Sprint(db))
			if !t.hides(db) && err == nil && v == "OK" {
				k.grants = append(k.grants, fmt.Sprint("+select|", db))
			}
			if err != nil {
				k.grantsFor = "" // ask again
			}
		}
	}
	return k.grants
}

// leave deletes this process's users.
func (k *guardKeeper) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, g := range k.made {
		if g.of != k.srv.up.Load() {
			continue // another server is in force, and the old connection is closed
		}
		if _, err := g.of.Do(ctx, "ACL", "DELUSER", g.name); err != nil {
			k.srv.log.Warn("the guard's user cannot be deleted", "user", g.name, "error", err)
		}
	}
}

// setGuard makes g the user of scripts from now on. Links of another guard's user are phased out.
func (w *worker) setGuard(g *guardUser) {
	w.guard = g
	for l := range w.links {
		if l.conn == nil || l.lane == nil || !w.guards(l) && l.guard == nil ||
			sameGuard(l.guard, g) {
			continue
		}
		l.retiring = true
		l.lane.remove(l)
		l.wakeStalled()
		l.retireIfDone()
	}
}

func sameGuard(a, b *guardUser) bool {
	return a == b || a != nil && b != nil && a.name == b.name && a.of == b.of
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
	return f.s.w.guard.policy
}

// guardAuth returns the login of a guarded link.
func (l *link) guardAuth() []string { return []string{"aUtH", l.guard.name, l.guard.password} }

// guardMissing ends a link that could not log in as the guard's user, and wakes the keeper to make
// that user again.
func (l *link) guardMissing() []prepStep {
	l.w.srv.guard.wake()
	l.fail(errNotNow(textGuardMissing))
	return nil
}

// unguarded replaces the guard's user in an error of a guarded link by the name that the client
// knows.
func (l *link) unguarded(reply []byte) []byte {
	if l.guard == nil || len(reply) == 0 || reply[0] != '-' {
		return reply
	}
	return bytes.ReplaceAll(reply, []byte(l.guard.name), []byte("default"))
}
