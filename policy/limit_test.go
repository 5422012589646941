package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// limited makes a policy of one rule with a limit.
func limited(t testing.TB, limit string) (*Policy, *Rule) {
	t.Helper()
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny flushall limit="+limit)})
	return p, p.Rules()[0]
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1/s": time.Second, "10/m": 6 * time.Second, "1/h": time.Hour, "1/d": 24 * time.Hour,
		"5/10s": 2 * time.Second, "3/1m30s": 30 * time.Second, " 2 / 1m ": 30 * time.Second,
		"2/7d": 84 * time.Hour, "1000/s": time.Millisecond,
	} {
		if got, ok := parseRate(text); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1", "/", "1/", "/m", "0/s", "-1/s", "1/0s", "1/-5s", "x/m",
		"1/x", "1/m/m", "9999999999/s", "1/999d", "1.5/s", "1/dd", "1/-1d"} {
		if got, ok := parseRate(text); ok {
			t.Errorf("%q is taken for one per %v", text, got)
		}
	}
}

func TestLimit(t *testing.T) {
	_, rule := limited(t, "1/m,3")
	l, req := NewLimits(0), &Request{Client: NewClient(Identity{})}
	const second = int64(time.Second)
	for _, step := range []struct {
		at, retry int64 // in seconds; retry 0: passes
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, 60}, {0, 60}, {59, 1}, {60, 0}, {60, 60}, {100, 20},
		{180, 0}, {180, 0}, {180, 60}, {100, 140}, {239, 1}, {240, 0}, {100000, 0}, {100000, 0},
		{100000, 0}, {100000, 60},
	} {
		retry, ok := l.Take(rule, req, step.at*second)
		if ok != (step.retry == 0) || retry != time.Duration(step.retry*second) {
			t.Errorf("at %d s: %v, %v; want %d s", step.at, retry, ok, step.retry)
		}
	}
	if _, ok := l.Take(nil, req, 0); !ok {
		t.Error("no rule limits")
	}
	if _, ok := l.Take(&Rule{Name: "x"}, req, 0); !ok {
		t.Error("a rule without a limit limits")
	}
}

func TestLimitScopes(t *testing.T) {
	a := NewClient(Identity{User: "a", Addr: netip.MustParseAddr("10.0.0.1"), Session: 1})
	clients := map[string]*Client{
		"same user":    NewClient(Identity{User: "a", Addr: netip.MustParseAddr("10.0.0.2"), Session: 2}),
		"same address": NewClient(Identity{User: "b", Addr: netip.MustParseAddr("::ffff:10.0.0.1"), Session: 3}),
		"unix":         NewClient(Identity{User: "c", Session: 4}),
		"nobody":       nil,
	}
	for scope, shared := range map[string]string{
		"global": "same user, same address, unix, nobody", "user": "same user",
		"address": "same address", "session": "",
	} {
		for name, client := range clients {
			_, rule := limited(t, "1/h,1,"+scope)
			l := NewLimits(0)
			l.Take(rule, &Request{Client: a}, 0)
			_, ok := l.Take(rule, &Request{Client: client}, 0)
			if want := !slices.Contains(strings.Split(shared, ", "), name); ok != want {
				t.Errorf("per %s, %s: passes %v, want %v", scope, name, ok, want)
			}
			if _, again := l.Take(rule, &Request{Client: client}, 0); again {
				t.Errorf("per %s, %s: passes twice", scope, name)
			}
		}
	}
}

// TestLimitsForgetNoDebt floods a set with sessions. A session whose limiter was pushed out must
// not pass again before its time.
func TestLimitsForgetNoDebt(t *testing.T) {
	_, rule := limited(t, "1/h,1,session")
	l, now := NewLimits(8), int64(0)
	passed := make(map[uint64]int64)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		now += int64(time.Minute) * random.Int64N(3)
		id := random.Uint64N(64)
		if _, ok := l.Take(rule, &Request{Client: NewClient(Identity{Session: id})}, now); !ok {
			continue
		}
		if last, before := passed[id]; before && now-last < int64(time.Hour) {
			t.Fatalf("session %d passes after %v", id, time.Duration(now-last))
		}
		passed[id] = now
	}
	if len(passed) < 60 {
		t.Errorf("only %d sessions ever passed", len(passed))
	}
	if n := l.sets[limitOf{"a", *rule.Limit}].limiters.Len(); n > 8 {
		t.Errorf("%d limiters", n)
	}
}

// TestLimitsAreShared has many loops take at once: a global limit lets its burst pass, no more.
func TestLimitsAreShared(t *testing.T) {
	_, rule := limited(t, "1/h,10")
	l, passed := NewLimits(0), atomic.Int64{}
	var loops sync.WaitGroup
	for i := range 8 {
		loops.Go(func() {
			req := &Request{Client: NewClient(Identity{Session: uint64(i)})}
			for range 1000 {
				if _, ok := l.Take(rule, req, 0); ok {
					passed.Add(1)
				}
			}
		})
	}
	loops.Wait()
	if n := passed.Load(); n != 10 {
		t.Errorf("%d passed", n)
	}
}

func TestLimitsAcrossReloads(t *testing.T) {
	_, hourly := limited(t, "1/h")
	l, req := NewLimits(0), &Request{}
	l.Take(hourly, req, 0)
	p, shorter := limited(t, "1/m")
	l.Retain(p)
	if _, ok := l.Take(shorter, req, 1); !ok {
		t.Error("another limit goes on from the debt of the old one")
	}
	p, shorter = limited(t, "1/m")
	l.Retain(p)
	if retry, ok := l.Take(shorter, req, 2); ok || retry != time.Minute-1 {
		t.Errorf("a reload lifts the limit: %v, %v", retry, ok)
	}
	none := mustNew(t, Options{Rules: parseRules(t, "b: deny get")})
	if l.Retain(none); len(l.sets) != 0 {
		t.Error("limiters of a rule that is gone are kept")
	}
}

// FuzzLimit holds any limit at any times against the definition: no span of time lets more pass
// than the burst and the rate allow.
func FuzzLimit(f *testing.F) {
	f.Add(uint32(1000), uint8(3), []byte{0, 0, 0, 0, 9, 200, 1})
	f.Fuzz(func(t *testing.T, interval uint32, burst uint8, steps []byte) {
		limit := &Limit{Interval: time.Duration(interval) + 1, Burst: int(burst) + 1}
		rule := &Rule{Name: "a", Limit: limit}
		l, now := NewLimits(0), int64(math.MinInt32)
		var passed []int64
		for _, step := range steps[:min(len(steps), 500)] {
			now += int64(step) * int64(step) * (int64(interval)/300 + 1)
			retry, ok := l.Take(rule, &Request{}, now)
			if ok {
				passed = append(passed, now)
			} else if retry <= 0 {
				t.Fatalf("retry after %v", retry)
			} else if _, ok := NewLimits(0).Take(rule, &Request{}, now); !ok {
				t.Fatal("a fresh limiter refuses")
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				span := passed[j] - passed[i]
				if n, most := int64(j-i+1), int64(limit.Burst)+span/int64(limit.Interval)+1; n > most {
					t.Fatalf("%d passed in %d ns", n, span)
				}
			}
		}
	})
}

func BenchmarkLimit(b *testing.B) {
	for _, scope := range []string{"global", "session"} {
		b.Run(fmt.Sprint(scope), func(b *testing.B) {
			_, rule := limited(b, "1000000/s,1000,"+scope)
			l, now := NewLimits(0), int64(0)
			clients := make([]Client, 1000)
			for i := range clients {
				clients[i].id.Session = uint64(i)
			}
			req := &Request{}
			b.ReportAllocs()
			for b.Loop() {
				now += 500
				req.Client = &clients[now/500%1000]
				l.Take(rule, req, now)
			}
		})
	}
}
