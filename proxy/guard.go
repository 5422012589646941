package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/upstream"
)

// The guard makes the server itself refuse inside scripts and functions what the rules refuse
// outside: the scan of code (scripts.go) can be fooled, the server's ACL cannot. While rules refuse
// something that code could call, or there is a trash to keep code from, the control connection
// keeps a restricted user on the server: a copy of the user default without what the rules refuse.
// The shared links on which sessions of the user default run their scripts log in as that user.
//
// Only these links do. Ordinary commands are decided here and go by links of the client's own user,
// so that what a rule lets pass is never in the guard's way, and so do scripts inside MULTI and of
// sessions with a link of their own: those are judged as without a guard, which is stricter.
//
// The user's name comes from what it may do and from the process, which alone knows the random
// password and deletes the user at its end. A user that is gone, after a restart of the server for
// instance, is noticed when a link cannot log in, and made again; one that somebody has changed, or
// that the user default has left behind in what it may do, at the next look, some seconds later.
// What a process that was killed left behind is others' to delete, see guard_stale.go.
type guardUser struct {
	name     string
	password string
	of       *upstream.Upstream
	policy   *policy.Guard
}

// GuardPrefix begins the names of such users.
const GuardPrefix = "holdfast-guard-"

const (
	// guardTimeout bounds one look at the guard.
	guardTimeout = 5 * time.Second
	// guardEvery is the pace at which the keeper looks by itself.
	guardEvery = 5 * time.Second
	// staleLooks is how often a keeper that has nothing to guard looks for what others have left.
	// Its commands show in the server's slow log and MONITOR, so it does not go on for ever.
	staleLooks = 4
)

// A guardKeeper is the goroutine that keeps the user. It alone owns its fields but the channels.
type guardKeeper struct {
	srv        *Server
	kick       chan struct{}      // one token: look again
	asks       chan chan struct{} // likewise, and say when it is done
	quit, done chan struct{}

	password string
	current  *guardUser            // nil: none
	made     map[string]*guardUser // by name: those with this process's password
	as       string                // what the server says of current
	warned   string                // the last warning, which is not repeated
	others   map[string]foreignGuard
	looks    int
}

func newGuardKeeper(srv *Server) *guardKeeper {
	return &guardKeeper{
		srv: srv, kick: make(chan struct{}, 1), asks: make(chan chan struct{}),
		quit: make(chan struct{}), done: make(chan struct{}), made: map[string]*guardUser{},
		password: rand.Text() + rand.Text(), others: map[string]foreignGuard{},
	}
}

// wake has the keeper look again. From any goroutine; it never blocks.
func (k *guardKeeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// await has the keeper look again and waits until it has.
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

// stop ends the goroutine, which takes its passwords away.
func (k *guardKeeper) stop() {
	if k != nil {
		close(k.quit)
		<-k.done
	}
}

// refresh makes the server's user what the rules of this moment want, and then the links.
func (k *guardKeeper) refresh() {
	srv := k.srv
	ctx, cancel := context.WithTimeout(srv.dialCtx, guardTimeout)
	defer cancel()
	parts, err := gather(ctx, srv, func(w *worker) rules { return w.rules })
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
				return // nothing is known of the server now: what was, stays
			}
			k.warn(err)
		}
	}
	if sameGuard(k.current, g) && (g == nil || k.current.policy.Of(parts[0].policy)) {
		return
	}
	k.current = g
	_, _ = gather(ctx, srv, func(w *worker) struct{} { w.setGuard(g); return struct{}{} })
}

// keep looks for what processes that were killed have left, and after the user; nil without an error
// when there is nothing to guard.
func (k *guardKeeper) keep(ctx context.Context, up *upstream.Upstream, r *rules) (
	*guardUser, error) {
	pg, err := GuardFor(r.policy, "default")
	idle := err == nil && len(pg.Refused) == 0 && r.trash.reserved == nil
	if k.looks++; !idle || k.looks <= staleLooks {
		k.clearStale(ctx, up)
	}
	if err != nil || idle {
		return nil, err
	}
	return k.make(ctx, up, r, pg)
}

func (k *guardKeeper) warn(err error) {
	if !k.srv.up.Load().Info().Up {
		return // which is news enough; what is left then is told when it is back
	}
	if text := err.Error(); text != k.warned {
		k.warned = text
		k.srv.log.Warn("there is no guard on the server; code that cannot be read through gets the "+
			"strictest verdict instead", "error", err)
	}
}

// refusedByServer tells an answer of the server's from the want of one.
func refusedByServer(err error) bool {
	var answer interface {
		error
		RedisError()
	}
	return errors.As(err, &answer) || errors.Is(err, errNoDefault)
}

// errNoDefault: nobody can come as the user default.
var errNoDefault = errors.New("the user default is off")

// guardNeeds is what links, and scripts of the proxy's own making, need beside what a guard cannot
// be about: commands that no code can call.
var guardNeeds = []string{"select", "ping", "info"}

// GuardFor is what a user must not be allowed so that the server refuses inside scripts what the
// rules refuse outside.
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
	hide, grants := r.trash.hideFromCode()
	if v, err := up.Do(ctx, "ACL", "DRYRUN", "default", "SELECT", "0"); err != nil || v != "OK" {
		grants = nil
	}
	restrict := hide
	if words := pg.Restrict("x"); words != nil {
		restrict = append(words[3:], hide...)
	}
	words, ok := guardWords(fieldsOf(reply), restrict, grants)
	if !ok {
		return nil, errNoDefault
	}
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	g := &guardUser{name: GuardPrefix + hex.EncodeToString(sum[:4]) + "-" + k.srv.instance,
		password: k.password, of: up, policy: pg}
	if is, err := up.Do(ctx, "ACL", "GETUSER", g.name); err == nil && is != nil &&
		sameGuard(k.current, g) && fmt.Sprint(is) == k.as {
		return g, nil // nobody has touched it
	}
	k.made[g.name] = g
	if _, err := up.Do(ctx, g.setUser(words)...); err != nil {
		return nil, fmt.Errorf("ACL SETUSER: %w", err)
	}
	k.as, k.warned = "", ""
	if is, err := up.Do(ctx, "ACL", "GETUSER", g.name); err == nil {
		k.as = fmt.Sprint(is)
	}
	return g, nil
}

// setUser is the request that makes the user what words say.
func (g *guardUser) setUser(words []string) []any {
	args := []any{"ACL", "SETUSER", g.name, "reset"}
	for _, w := range words {
		args = append(args, w)
	}
	sum := sha256.Sum256([]byte(g.password))
	return append(args, "#"+hex.EncodeToString(sum[:]))
}

// guardWords is the rules of the user default without what restrict takes away, and with grants;
// false when that user is off.
func guardWords(user map[string]any, restrict, grants []string) ([]string, bool) {
	flags, _ := user["flags"].([]any)
	on := false
	for _, f := range flags {
		on = on || f == "on"
	}
	if !on {
		return nil, false
	}
	part := func(fields map[string]any, name string) []string {
		text, _ := fields[name].(string)
		return strings.Fields(text)
	}
	permissions := func(fields map[string]any, grants ...string) []string {
		words := append(append(part(fields, "commands"), restrict...), grants...)
		words = append(words, part(fields, "keys")...)
		return append(words, part(fields, "channels")...)
	}
	words := []string{"on", "resetkeys", "resetchannels", "clearselectors", "-@all"}
	words = append(words, permissions(user, grants...)...)
	selectors, _ := user["selectors"].([]any)
	for _, sel := range selectors {
		inner := append([]string{"resetchannels"}, permissions(fieldsOf(sel))...)
		words = append(words, "("+strings.Join(inner, " ")+")")
	}
	return words, true
}

// leave deletes the users that this process made.
func (k *guardKeeper) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, g := range k.made {
		if g.of != k.srv.up.Load() {
			continue // another server is in force, and the old one was let go of
		}
		if _, err := g.of.Do(ctx, "ACL", "DELUSER", g.name); err != nil {
			k.srv.log.Warn("the guard's user cannot be deleted", "user", g.name, "error", err)
		}
	}
}

// setGuard makes g the user that scripts run as from now on. Links of another are on their way out.
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

// guards reports whether a link is to log in as the guard's user.
func (w *worker) guards(l *link) bool {
	return l.lane != nil && l.lane.key.kind == laneScript && w.guardsIdentity(l.ident)
}

func (w *worker) guardsIdentity(i *identity) bool {
	if i.key.control || i.userName() != "default" {
		return false
	}
	return i.key.authed || !w.anonFrames.Unauthenticated
}

// guardOf is the guard that binds the code that the session's next command runs or loads; nil
// where there is none. Code in a transaction or on a link of the session's own has none.
func (s *session) guardOf(cmd *policy.Command) *policy.Guard {
	w := s.w
	if w.guard == nil || w.guard.of != w.up || s.held != 0 || w.paused ||
		!w.guardsIdentity(s.ident) {
		return nil
	}
	if w.behaviours[cmd.ID] != script && !cmd.Effects.Has(policy.EffectCode) {
		return nil
	}
	return w.guard.policy
}

// guardAuth is how a guarded link logs in.
func (l *link) guardAuth() []string { return []string{"aUtH", l.guard.name, l.guard.password} }

// guardMissing ends a link that could not log in as the guard's user, and has that made again.
func (l *link) guardMissing() []prepStep {
	l.w.srv.guard.wake()
	l.fail(errNotNow(textGuardMissing))
	return nil
}

// unguarded gives the user in an error of a guarded link the name that the client knows.
func (l *link) unguarded(reply []byte) []byte {
	if l.guard == nil || len(reply) == 0 || reply[0] != '-' {
		return reply
	}
	return bytes.ReplaceAll(reply, []byte(l.guard.name), []byte("default"))
}
