package guard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"holdfast/journal/seldom"
	"holdfast/policy"
)

const (
	// checkLimit bounds one check of the user.
	checkLimit = 5 * time.Second
	// checkEvery is the interval of the keeper's own checks.
	checkEvery = time.Second
	// staleEvery is the interval at which it looks for other processes' stale users.
	staleEvery = 5 * time.Second
	// staleLooks is the number of such searches by a keeper that has nothing to guard. Its commands
	// show in the server's slow log and MONITOR, so they must end.
	staleLooks = 4
)

// An Env is the proxy around a Keeper, which calls it from its goroutine.
type Env interface {
	// Wanted returns the demands in force; an error: the proxy ends.
	Wanted(ctx context.Context) (Wanted, error)
	// Server returns the server in force, the same value for as long as it is.
	Server() Server
	// Up reports whether that server answers: an outage is logged elsewhere.
	Up() bool
	// Use makes u, or no user if it is nil, the user of scripts on all loops, and returns once it
	// is.
	Use(ctx context.Context, u *User)
}

// A Server is a server that holds the user.
type Server interface {
	// Do runs a command once, as upstream.Upstream does.
	Do(ctx context.Context, args ...any) (any, error)
	Address() string
}

// Wanted is the demands of the configuration and the rules on the user.
type Wanted struct {
	On        bool // a guard may be kept
	Policy    *policy.Policy
	Trash     bool  // there is a trash to protect from code
	Hidden    []int // databases that code must not reach
	Databases int   // of the server
}

// Options are a Keeper's.
type Options struct {
	// Instance is this process's random name, and Control gives the name of an instance's control
	// connections.
	Instance string
	Control  func(instance string) string
	Logger   *slog.Logger
}

// A Keeper is the goroutine that keeps the user. It owns its fields, except the channels.
type Keeper struct {
	env        Env
	instance   string
	control    func(instance string) string
	log        *slog.Logger
	kick       chan struct{}      // one token: check again
	asks       chan chan struct{} // likewise, with a signal of completion
	quit, done chan struct{}

	password  string
	current   *User            // nil: none
	made      map[string]*User // by name: users with this process's password
	as        string           // the server's description of current
	calls     aclCalls         // the call counts as of that description
	grants    []string         // mayLeave's result for grantsFor
	grantsFor string
	warned    seldom.Pace
	others    map[string]foreigner
	looks     int       // for those
	staleAt   time.Time // when the next search is due
}

// New makes a keeper, which Run starts.
func New(o Options, env Env) *Keeper {
	return &Keeper{
		env: env, instance: o.Instance, control: o.Control, log: o.Logger, kick: make(chan struct{}, 1), asks: make(chan chan struct{}),
		quit: make(chan struct{}), done: make(chan struct{}), made: map[string]*User{},
		password: rand.Text() + rand.Text(), others: map[string]foreigner{},
	}
}

// Wake makes the keeper check again. Any goroutine may call it; it never blocks.
func (k *Keeper) Wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// Await makes the keeper check again and waits for the end of the check.
func (k *Keeper) Await(ctx context.Context) {
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

// Run is the goroutine. Stop ends it.
func (k *Keeper) Run(ctx context.Context) {
	defer close(k.done)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			k.refresh(ctx)
		case <-k.kick:
			k.refresh(ctx)
		case done := <-k.asks:
			k.refresh(ctx)
			close(done)
		case <-k.quit:
			k.leave()
			return
		}
	}
}

// Stop ends the goroutine, which deletes its users.
func (k *Keeper) Stop() {
	if k != nil {
		close(k.quit)
		<-k.done
	}
}

// refresh brings the server's user, and then the links, in line with the current rules.
func (k *Keeper) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	want, err := k.env.Wanted(ctx)
	if err != nil {
		return
	}
	var u *User
	if want.On {
		if u, err = k.keep(ctx, k.env.Server(), &want); err != nil {
			if !refusedByServer(err) && k.current != nil {
				return // the server is unreachable: keep the current state
			}
			k.warn(err)
		}
	}
	if Same(k.current, u) && (u == nil || k.current.Policy.Of(want.Policy)) {
		return
	}
	k.current = u
	k.env.Use(ctx, u)
}

// keep deletes the users of killed processes, and maintains its own; nil without an error: nothing
// to guard.
func (k *Keeper) keep(ctx context.Context, on Server, want *Wanted) (*User, error) {
	pg, err := For(want.Policy, "default")
	idle := err == nil && len(pg.Refused) == 0 && !want.Trash
	if now := time.Now(); !now.Before(k.staleAt) && (!idle || k.looks < staleLooks) {
		k.looks, k.staleAt = k.looks+1, now.Add(staleEvery)
		k.clearStale(ctx, on)
	}
	if err != nil || idle {
		return nil, err
	}
	return k.make(ctx, on, want, pg)
}

func (k *Keeper) warn(err error) {
	if !k.env.Up() {
		return // the outage is logged already; a remaining problem is logged after it
	}
	if k.warned.Changes(err.Error()) {
		k.log.Warn("there is no guard on the server; code that cannot be read through gets the "+
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

// make creates the user, or updates it.
func (k *Keeper) make(ctx context.Context, on Server, want *Wanted, pg *policy.Guard) (*User, error) {
	reply, err := on.Do(ctx, "ACL", "GETUSER", "default")
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
	hide := want.hide()
	restrict := hide
	if words := pg.Restrict("x"); words != nil {
		restrict = append(words[3:], hide...)
	}
	c := recipe{of: &original, restrict: restrict, grants: k.mayLeave(ctx, on, want, reply)}
	u := &User{Name: Prefix + c.hash() + "-" + k.instance, Password: k.password, Policy: pg, of: on}
	calls, known := readACLCalls(ctx, on)
	if known && Same(k.current, u) && calls.still(k.calls) {
		k.calls = calls
		return u, nil
	}
	if is, err := on.Do(ctx, "ACL", "GETUSER", u.Name); err == nil && is != nil {
		if Same(k.current, u) && fmt.Sprint(is) == k.as {
			k.calls = calls
			return u, nil // unchanged
		}
		if _, err := on.Do(ctx, "ACL", "DELUSER", u.Name); err != nil {
			return nil, fmt.Errorf("ACL DELUSER: %w", err)
		}
	}
	k.made[u.Name] = u
	is, err := c.write(ctx, on, u)
	if err != nil {
		_, _ = on.Do(ctx, "ACL", "DELUSER", u.Name)
		return nil, err
	}
	k.as = is
	k.warned.Changes("")
	k.calls = aclCalls{} // the next check reads it once more
	return u, nil
}

// hide lists the commands denied to code, to keep it out of the hidden databases; mayLeave grants
// the databases that it may still select.
func (w *Wanted) hide() (words []string) {
	if w.Hidden == nil {
		return nil
	}
	for _, name := range policy.LeavingDatabase() {
		words = append(words, "-"+name)
	}
	return words
}

// mayLeave returns the databases that code may select as the guard's user, as permissions: those
// that are not hidden, and that the user default may select itself.
func (k *Keeper) mayLeave(ctx context.Context, on Server, want *Wanted, user any) []string {
	if want.Hidden == nil {
		return nil
	}
	if key := fmt.Sprint(on.Address(), want.Hidden, want.Databases, user); key != k.grantsFor {
		k.grants, k.grantsFor = nil, key
		for db := range want.Databases {
			v, err := on.Do(ctx, "ACL", "DRYRUN", "default", "SELECT", fmt.Sprint(db))
			if !slices.Contains(want.Hidden, db) && err == nil && v == "OK" {
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
func (k *Keeper) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, u := range k.made {
		if !u.On(k.env.Server()) {
			continue // another server is in force, and the old connection is closed
		}
		if _, err := u.of.Do(ctx, "ACL", "DELUSER", u.Name); err != nil {
			k.log.Warn("the guard's user cannot be deleted", "user", u.Name, "error", err)
		}
	}
}
