package policy

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// LimitSpec is the limit of a rule as the configuration file says it.
type LimitSpec struct {
	Rate  string // "1/m": a number per s, m, h or d, or per so many of them ("5/10s")
	Burst int    // how many may come at once; 0 means 1
	Per   string // "global", "user", "address" or "session"; "" means global
}

// Limit is how often a rule lets its action happen.
type Limit struct {
	Interval time.Duration // one request each, on average
	Burst    int           // how many may come at once
	Per      Scope
}

// Scope says who shares a limit or a budget.
type Scope uint8

// The scopes.
const (
	PerAll     Scope = iota // everybody shares one
	PerUser                 // all sessions of a user
	PerAddress              // all sessions from an address; those on Unix sockets share one
	PerSession
)

var scopeNames = [...]string{"global", "user", "address", "session"}

// String is the scope's name in the configuration file.
func (s Scope) String() string { return scopeNames[s] }

func parseScope(name string) (Scope, bool) {
	if name == "" {
		return PerAll, true
	}
	for s, n := range scopeNames {
		if strings.EqualFold(n, name) {
			return Scope(s), true
		}
	}
	return 0, false
}

// maxDebt bounds interval times burst, so that no sum of times overflows.
const maxDebt = time.Duration(math.MaxInt64 / 4)

func newLimit(spec *LimitSpec, fail failure) *Limit {
	if spec == nil {
		return nil
	}
	l := &Limit{Burst: max(spec.Burst, 1)}
	var ok bool
	if l.Interval, ok = parseRate(spec.Rate); !ok {
		fail("limit.rate", -1, `want a number per time such as 1/m or 5/10s, got %q`, spec.Rate)
		l.Interval = 1
	}
	if spec.Burst < 0 || time.Duration(l.Burst) > maxDebt/l.Interval {
		fail("limit.burst", -1, "want 1 to %d, got %d", int64(maxDebt/l.Interval), spec.Burst)
	}
	if l.Per, ok = parseScope(spec.Per); !ok {
		fail("limit.per", -1, "want global, user, address or session, got %q", spec.Per)
	}
	return l
}

// parseRate reads "10/m" as one per six seconds.
func parseRate(text string) (interval time.Duration, ok bool) {
	number, unit, found := strings.Cut(text, "/")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if !found || err != nil || n < 1 {
		return 0, false
	}
	unit = strings.TrimSpace(unit)
	if unit == "" {
		return 0, false
	}
	if unit[0] < '0' || unit[0] > '9' {
		unit = "1" + unit
	}
	var per time.Duration
	if days, isDays := strings.CutSuffix(unit, "d"); isDays {
		count, err := strconv.ParseInt(days, 10, 32)
		if err != nil || count > 365 {
			return 0, false
		}
		per = time.Duration(count) * 24 * time.Hour
	} else if per, err = time.ParseDuration(unit); err != nil {
		return 0, false
	}
	interval = per / time.Duration(n)
	return interval, interval > 0
}

// Limits is the state of all limits of a process. It is a mutable thing beside the immutable
// Policy: make one, and keep it across reloads. It is safe for concurrent use.
//
// Each limiter is a GCRA: one number, the time at which its last request would have come at the
// steady rate (TAT). A request may come up to Burst-1 intervals before that; what is refused
// changes nothing.
//
// One set serves all event loops, for a limit that is global, or on a user whose sessions are
// spread over loops, must count them together. A mutex protects it, which costs an event loop
// nothing: only requests that a rule with a limit decides come here, they hold it for one look-up
// and one comparison, and nothing is called under it. The design that was rejected gives each loop
// a share of the rate; it refuses what a single busy loop should still be allowed.
//
// Each rule has its own set of limiters, bounded by an LRU, so that a flood of sessions pushes out
// only its own kind. A limiter that is pushed out while it is in debt leaves the debt behind:
// limiters that are made later begin there. So nobody is ever freed of a limit by being forgotten;
// what a flood of more than the set can hold gets is a limit that is stricter for newcomers.
type Limits struct {
	mu   sync.Mutex
	sets map[string]*limiterSet // by the rule's name
	size int
}

// limiterSet is the limiters of one rule; Limits.mu protects it.
type limiterSet struct {
	limit    Limit
	limiters *simplelru.LRU[limiterKey, int64] // the TAT
	floor    int64                             // the latest TAT of those that were pushed out
}

// limiterKey tells the limiters of a rule apart. Only the field of the limit's scope is set.
type limiterKey struct {
	scope   Scope
	name    string // the user, or the address as its bytes
	session uint64
}

// DefaultLimiters is how many limiters a rule has where NewLimits is not told.
const DefaultLimiters = 8192

// NewLimits makes an empty set with room for so many limiters per rule; 0 means DefaultLimiters.
func NewLimits(perRule int) *Limits {
	if perRule <= 0 {
		perRule = DefaultLimiters
	}
	return &Limits{sets: make(map[string]*limiterSet), size: perRule}
}

// Take counts one request against the limit of the rule that decided about it. ok tells whether
// it may pass; if not, retry is how long until the next may. now is any clock in ns that does not
// depend on the wall; a step back of it makes the limit stricter for that long and no weaker. A
// rule without a limit lets everything pass.
//
// An observed rule has its limit counted in the same way, so that its counters tell what it would
// do. What a request without a Client counts against is shared by all of these.
func (l *Limits) Take(r *Rule, req *Request, now int64) (retry time.Duration, ok bool) {
	if r == nil || r.Limit == nil {
		return 0, true
	}
	key := keyOf(r.Limit.Per, req.Client)
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.sets[r.Name]
	if set == nil {
		set = newLimiterSet(l.size, *r.Limit)
		l.sets[r.Name] = set
	}
	return set.take(key, r.Limit, now)
}

// Retain forgets the limiters of rules that p does not have, or has with another limit. Call it
// after a reload; the limiters of all other rules go on.
func (l *Limits) Retain(p *Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := make(map[string]*limiterSet)
	for _, r := range p.rules {
		if set := l.sets[r.Name]; set != nil && r.Limit != nil && *r.Limit == set.limit {
			kept[r.Name] = set
		}
	}
	l.sets = kept
}

func newLimiterSet(size int, limit Limit) *limiterSet {
	set := &limiterSet{limit: limit, floor: math.MinInt64}
	set.limiters, _ = simplelru.NewLRU(size, // the only error is a size below 1
		func(_ limiterKey, tat int64) { set.floor = max(set.floor, tat) })
	return set
}

func (s *limiterSet) take(key limiterKey, l *Limit, now int64) (time.Duration, bool) {
	tat, known := s.limiters.Get(key)
	if !known {
		tat = s.floor
	}
	tat = max(tat, now)
	next := tat + int64(l.Interval)
	if wait := next - int64(l.Interval)*int64(l.Burst) - now; wait > 0 {
		if !known {
			s.limiters.Add(key, tat)
		}
		return time.Duration(wait), false
	}
	s.limiters.Add(key, next)
	return 0, true
}

func keyOf(scope Scope, client *Client) limiterKey {
	key := limiterKey{scope: scope}
	if client == nil {
		return key
	}
	switch scope {
	case PerUser:
		key.name = client.id.User
	case PerAddress:
		if client.id.Addr.IsValid() {
			b := client.id.Addr.Unmap().WithZone("").As16()
			key.name = string(b[:])
		}
	case PerSession:
		key.session = client.id.Session
	}
	return key
}

// who tells whose a limiter or breaker is.
func (k limiterKey) who() string {
	switch k.scope {
	case PerUser:
		return k.name
	case PerAddress:
		if addr, ok := netip.AddrFromSlice([]byte(k.name)); ok {
			return addr.Unmap().String()
		}
		return "unix"
	case PerSession:
		return strconv.FormatUint(k.session, 10)
	}
	return ""
}
