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

// LimitSpec is the limit of a rule as configured.
type LimitSpec struct {
	Rate  string // "1/m": a number per s, m, h or d, or per several of them ("5/10s")
	Burst int    // how many requests may come at once; 0 means 1
	Per   string // "global", "user", "address" or "session"; "" means global
}

// Limit bounds how often a rule's action happens.
type Limit struct {
	Interval time.Duration // between two requests, on average
	Burst    int           // how many requests may come at once
	Per      Scope
}

// Scope selects the clients that share a limit or a budget.
type Scope uint8

// The scopes.
const (
	PerAll     Scope = iota // all clients share one
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

// Limits is the state of all limits of a process. Unlike the Policy it is mutable: make one, and
// keep it across reloads. It is safe for concurrent use.
//
// Each limiter is a GCRA: one number, the time at which its last request would have come at the
// steady rate (TAT). A request may come up to Burst-1 intervals before that; a refused request
// changes nothing.
//
// One set serves all event loops, since a global limit, or one on a user whose sessions are spread
// over loops, must count them together. A mutex protects it at almost no cost to a loop: only
// requests decided by a rule with a limit come here, they hold it for one look-up and one
// comparison, and no callback runs under it. The rejected design gives each loop a share of the
// rate; it refuses requests of a single busy loop that the limit should still allow.
//
// Each rule has its own set of limiters, bounded by an LRU, so that a flood of sessions pushes out
// only limiters of the same rule. A limiter that is pushed out in debt leaves its debt behind:
// limiters made later start from it. So eviction never frees a client of its limit; a flood beyond
// the set's size only makes the limit stricter for newcomers.
type Limits struct {
	mu   sync.Mutex
	sets map[limitOf]*limiterSet
	size int
}

// limitOf is a limit of a rule. Where a reload gives the rule another one, loops that have not yet
// switched count against the old one, and its count does not carry over to the new.
type limitOf struct {
	rule string
	Limit
}

// limiterSet is the limiters of one rule; Limits.mu protects it.
type limiterSet struct {
	limiters *simplelru.LRU[limiterKey, int64] // the TAT
	floor    int64                             // the latest TAT of the evicted limiters
}

// limiterKey identifies a limiter of a rule. Only the field of the limit's scope is set.
type limiterKey struct {
	scope   Scope
	name    string // the user, or the address as its bytes
	session uint64
}

// DefaultLimiters is the number of limiters of a rule where NewLimits is given none.
const DefaultLimiters = 8192

// NewLimits makes an empty set with room for that many limiters per rule; 0 means DefaultLimiters.
func NewLimits(perRule int) *Limits {
	if perRule <= 0 {
		perRule = DefaultLimiters
	}
	return &Limits{sets: make(map[limitOf]*limiterSet), size: perRule}
}

// Take counts one request against the limit of the rule that decided about it. ok reports whether
// it may pass; if not, retry is the time until the next may. now is any monotonic clock in ns; a
// step back makes the limit stricter for that long and never weaker. A rule without a limit lets
// everything pass.
//
// Observed rules count in the same way, so that their counters show their would-be effect. Requests
// without a Client share one limiter.
func (l *Limits) Take(r *Rule, req *Request, now int64) (retry time.Duration, ok bool) {
	if r == nil || r.Limit == nil {
		return 0, true
	}
	key := keyOf(r.Limit.Per, req.Client)
	l.mu.Lock()
	defer l.mu.Unlock()
	of := limitOf{r.Name, *r.Limit}
	set := l.sets[of]
	if set == nil {
		set = newLimiterSet(l.size)
		l.sets[of] = set
	}
	return set.take(key, r.Limit, now)
}

// Retain drops the limiters of rules that p does not have, or has with another limit. Call it once
// a reload is in force everywhere; the limiters of all other rules go on.
func (l *Limits) Retain(p *Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := make(map[limitOf]*limiterSet)
	for _, r := range p.rules {
		if r.Limit == nil {
			continue
		}
		if of := (limitOf{r.Name, *r.Limit}); l.sets[of] != nil {
			kept[of] = l.sets[of]
		}
	}
	l.sets = kept
}

func newLimiterSet(size int) *limiterSet {
	set := &limiterSet{floor: math.MinInt64}
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

// who names the owner of a limiter or breaker.
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
