package policy

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// BudgetSpec is a delete budget as configured: more than Keys deleted keys within Window open a
// breaker. It refuses further deletes until it closes by itself or is reset.
type BudgetSpec struct {
	Name   string        // in errors, logs and on the console; unique and not empty
	Keys   int64         // how many keys may be deleted within the window; at least 1
	Window time.Duration // at least a millisecond
	Open   time.Duration // how long the breaker stays open; 0 means as long as the window
	Per    string        // "global", "user", "address" or "session"; "" means global
	Users  []string      // globs: only these users' deletes count; empty: everybody's
}

// Budget is one delete budget and its counts. Make them with NewBudgets.
//
// Deletes are counted from their replies (Command.Deleted). Counting the keys that requests name
// was rejected: a DEL of missing keys would use the budget up. The caller knows how many keys a
// request may delete before it is sent, and compares that number with Left. Deletes of other
// sessions that are in flight meanwhile can exceed the budget by their number.
//
// The window slides in steps of a sixteenth: the count covers the last window and up to one step
// before it. A breaker that opens forgets its count, so that it closes with a fresh budget.
//
// Like Limits, a budget serves all event loops behind a mutex. Only deletes take it, for one
// look-up and sixteen additions. An LRU bounds the breakers; an evicted breaker leaves its count to
// those made later.
type Budget struct {
	Name   string
	Keys   int64
	Window time.Duration
	Open   time.Duration
	Per    Scope

	users globs

	mu       sync.Mutex
	breakers *simplelru.LRU[limiterKey, *breaker]
	left     breaker // the highest counts of evicted breakers, step by step
}

// breaker is the deletes of one user, address or session.
type breaker struct {
	counts [budgetSteps]int64
	step   int64 // the step that counts[step mod budgetSteps] belongs to
	until  int64 // open before this time
	trips  int64 // how often it opened
}

// freshBreaker has counted nothing: its step is before any step of a clock.
var freshBreaker = breaker{step: math.MinInt64 / 2, until: math.MinInt64}

const budgetSteps = 17 // sixteen and the current one

// DefaultBreakers is the number of breakers of a budget where NewBudgets is given none.
const DefaultBreakers = 8192

// NewBudgets checks the specs and makes the budgets, with room for that many breakers each; 0 means
// DefaultBreakers. The error joins every fault.
func NewBudgets(specs []BudgetSpec, breakers int) ([]*Budget, error) {
	var budgets []*Budget
	var errs []string
	for i, spec := range specs {
		fail := func(format string, args ...any) {
			errs = append(errs, fmt.Sprintf("budget %q: ", cmp.Or(spec.Name, fmt.Sprint("#", i+1)))+
				fmt.Sprintf(format, args...))
		}
		per, ok := parseScope(spec.Per)
		if !ok {
			fail("per: want global, user, address or session, got %q", spec.Per)
		}
		if spec.Name == "" {
			fail("name: must not be empty")
		} else if slices.ContainsFunc(budgets, func(b *Budget) bool { return b.Name == spec.Name }) {
			fail("name: another budget has the same name")
		}
		if spec.Keys < 1 {
			fail("keys: want 1 or more, got %d", spec.Keys)
		}
		if spec.Window < time.Millisecond || spec.Open < 0 {
			fail("window: want a millisecond or more, got %v, open for %v", spec.Window, spec.Open)
		}
		b := &Budget{Name: spec.Name, Keys: spec.Keys, Window: spec.Window,
			Open: cmp.Or(spec.Open, spec.Window), Per: per, users: compileGlobs(spec.Users)}
		b.init(breakers)
		budgets = append(budgets, b)
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(errs, "\n"))
	}
	return budgets, nil
}

func (b *Budget) init(size int) {
	if size <= 0 {
		size = DefaultBreakers
	}
	b.left = freshBreaker
	b.breakers, _ = simplelru.NewLRU(size, // fails below 1 only
		func(_ limiterKey, gone *breaker) { b.left.inherit(gone) })
}

// covers reports whether the client's deletes count.
func (b *Budget) covers(client *Client) bool {
	return len(b.users) == 0 || client == nil || b.users.matchString(client.id.User)
}

// Check reports whether a request that deletes may pass. If not, retry is the time until the
// breaker closes. now is a clock in ns, the same as for Count.
func (b *Budget) Check(client *Client, now int64) (retry time.Duration, ok bool) {
	if !b.covers(client) {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	until := b.left.until
	if br, known := b.breakers.Get(keyOf(b.Per, client)); known {
		until = br.until
	}
	if now < until {
		return time.Duration(until - now), false
	}
	return 0, true
}

// Left is the number of keys that may still be deleted within the window; ok is false where the
// client's deletes do not count.
func (b *Budget) Left(client *Client, now int64) (n int64, ok bool) {
	if !b.covers(client) {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	current := b.left
	if br, known := b.breakers.Get(keyOf(b.Per, client)); known {
		current = *br
	}
	current.advance(b.stepOf(now))
	return max(0, b.Keys-current.total()), true
}

// Count notes n deleted keys, and reports whether that opened the breaker.
func (b *Budget) Count(client *Client, n, now int64) (opened bool) {
	if n <= 0 || !b.covers(client) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := keyOf(b.Per, client)
	br, known := b.breakers.Get(key)
	if !known {
		br = new(breaker)
		*br = b.left
		br.trips = 0
		b.breakers.Add(key, br)
	}
	if now < br.until {
		return false // in flight when the breaker opened
	}
	br.advance(b.stepOf(now))
	count := &br.counts[mod(br.step)]
	if *count += n; *count < 0 {
		*count = math.MaxInt64
	}
	if br.total() <= b.Keys {
		return false
	}
	br.counts, br.until = [budgetSteps]int64{}, now+int64(b.Open)
	br.trips++
	return true
}

// Reset closes the breakers and clears their counts: those of one user if the budget is per user
// and user is not empty, or else all. It returns the number of open ones.
func (b *Budget) Reset(user string, now int64) (open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range b.breakers.Keys() {
		if user != "" && b.Per == PerUser && key.name != user {
			continue
		}
		if br, _ := b.breakers.Peek(key); br != nil {
			if now < br.until {
				open++
			}
			*br = breaker{step: br.step, until: math.MinInt64, trips: br.trips}
		}
	}
	if user == "" || b.Per != PerUser {
		b.left = freshBreaker
	}
	return open
}

// BudgetState is one breaker as the console shows it.
type BudgetState struct {
	Who     string        // the user, address or session; "" for a global budget
	Deleted int64         // within the window
	Open    time.Duration // how long it stays open; 0: it is closed
	Trips   int64         // how often it opened
}

// States lists the breakers that have counted anything, the last used first.
func (b *Budget) States(now int64) []BudgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	var states []BudgetState
	for _, key := range slices.Backward(b.breakers.Keys()) {
		br, _ := b.breakers.Peek(key)
		current := *br
		current.advance(b.stepOf(now))
		s := BudgetState{Who: key.who(), Deleted: current.total(), Trips: br.trips}
		s.Open = time.Duration(max(0, br.until-now))
		if br.until == math.MinInt64 {
			s.Open = 0
		}
		states = append(states, s)
	}
	return states
}

func (b *Budget) stepOf(now int64) int64 {
	size := max(1, int64(b.Window)/(budgetSteps-1))
	step := now / size
	if now%size < 0 {
		step--
	}
	return step
}

// advance moves to a step, and clears those that have left the window. It ignores a clock that goes
// back.
func (b *breaker) advance(step int64) {
	if step-b.step >= budgetSteps {
		b.counts = [budgetSteps]int64{}
		b.step = step
		return
	}
	for b.step < step {
		b.step++
		b.counts[mod(b.step)] = 0
	}
}

func (b *breaker) total() int64 {
	var sum int64
	for _, n := range b.counts {
		if sum += n; sum < 0 {
			return math.MaxInt64
		}
	}
	return sum
}

// inherit takes over another breaker's counts where they are higher.
func (b *breaker) inherit(gone *breaker) {
	step := max(b.step, gone.step)
	b.advance(step)
	other := *gone
	other.advance(step)
	for i := range b.counts {
		b.counts[i] = max(b.counts[i], other.counts[i])
	}
	b.until = max(b.until, gone.until)
}

func mod(step int64) int { return int(((step % budgetSteps) + budgetSteps) % budgetSteps) }
