package admin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// fakeBackend has one of everything. The first fields are set before use.
type fakeBackend struct {
	panics bool
	hang   bool
	empty  bool

	mu       sync.Mutex
	err      error
	warnings []string

	killed []uint64
	purged []uint64
	undone []string

	repaired     RepairRequest
	acknowledged int
	actions      []Action

	reloads int
	drains  int
	query   SessionQuery
}

func (b *fakeBackend) check(ctx context.Context) error {
	if b.panics {
		panic("backend")
	}
	if b.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// locked runs f while no method runs.
func (b *fakeBackend) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *fakeBackend) Sessions(ctx context.Context, q SessionQuery) ([]Session, int, error) {
	b.mu.Lock()
	b.query = q
	b.mu.Unlock()
	if b.empty {
		return nil, 0, b.check(ctx)
	}
	list := []Session{
		{ID: 1, Addr: "127.0.0.1:50001", Listener: "main", User: "default", Name: "web",
			Library: "go-redis 9.23.0", Protocol: 3, Age: 90 * time.Minute, Idle: 3 * time.Second,
			LastCommand: "get", Commands: 123456},
		{ID: 27, Loop: 1, Addr: "127.0.0.1:50002", User: "bob\x1b[31m", Protocol: 2, DB: 15,
			Age: 49 * time.Hour, State: "multi", Paused: true, Link: 7, LastCommand: "config|set",
			Commands: 9, Outstanding: 3, InputBuffer: 20 << 10, OutputBuffer: 3 << 20},
	}
	var match []Session
	for _, s := range list {
		if s.Matches(q.Match) {
			match = append(match, s)
		}
	}
	total := len(match)
	if q.Limit > 0 {
		match = match[:min(q.Limit, total)]
	}
	return match, total, b.check(ctx)
}

func (b *fakeBackend) Links(ctx context.Context) ([]Link, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Link{
		{ID: 3, Kind: "shared", State: "ready", User: "default", Protocol: 3,
			LocalAddr: "127.0.0.1:41000", RemoteAddr: "127.0.0.1:6379", ServerID: 42,
			Age: time.Hour, Sessions: 20, Commands: 1000, Outstanding: 4, Queued: 512},
		{ID: 7, Loop: 1, Kind: "pinned", State: "busy", User: "bob", Protocol: 2, DB: 15,
			Sessions: 1, Session: 27},
	}, b.check(ctx)
}

func (b *fakeBackend) Stats(ctx context.Context) (*Stats, error) {
	s := &Stats{
		Version: "0.1.0", PID: 4711, Uptime: 26 * time.Hour, Workers: 2, Driver: "epoll",
		Upstream: Upstream{Address: "127.0.0.1:6379", Up: true, Since: time.Hour,
			Server: "valkey", Version: "8.0.1", Role: "master",
			Replicas: []Replica{{Address: "10.0.0.6:6379", State: "online", Offset: 4200, Lag: time.Second}},
			Sentinels: &Sentinels{Name: "mymaster", Votes: 2, Of: 3, Quorum: 2,
				Doubt: "sentinel 10.0.0.7:26379 leads a failover of it",
				List: []Sentinel{
					{Address: "10.0.0.7:26379", Configured: true, Counts: true, Heard: true,
						Names: "127.0.0.1:6379", Epoch: 3, Sign: "leads a failover of it"},
					{Address: "10.0.0.8:26379", Counts: true, Heard: true, Names: "127.0.0.1:6379", Epoch: 3},
					{Address: "10.0.0.9:26379", Configured: true, Counts: true, Error: "no answer in time"},
				},
				Moves: []Move{{At: time.Unix(1_700_000_000, 0), From: "10.0.0.6:6379", To: "127.0.0.1:6379",
					Why: "10.0.0.6:6379 says that it is a replica", Paused: 1200 * time.Millisecond, Held: 12, Votes: 3, Of: 3}},
			}},
		Sessions: 2, SessionsAccepted: 100, Commands: 5_000_000, CommandsDenied: 3,
		ClientBytesIn: 5 << 30, ClientBytesOut: 1234,
	}
	if b.empty {
		return &Stats{NotReady: []string{"upstream: connection refused"},
			Upstream: Upstream{Address: "127.0.0.1:6379", Error: "connection refused"}}, b.check(ctx)
	}
	s.Latency = []Latency{
		{Class: "read", Count: 4_000_000, Mean: 81234, P50: 75 * time.Microsecond,
			P99: 1234567, P999: 12 * time.Millisecond},
		{Class: "blocking", Count: 10, Mean: 3 * time.Second, P50: time.Second,
			P99: 59 * time.Second, P999: 59900 * time.Millisecond},
	}
	return s, b.check(ctx)
}

func (b *fakeBackend) Config(ctx context.Context) ([]Setting, error) {
	return []Setting{
		{Key: "upstream.address", Value: "127.0.0.1:6379", Default: true},
		{Key: "upstream.password", Value: "(redacted)"},
		{Key: "workers", Value: "1", Default: true},
	}, b.check(ctx)
}

func (b *fakeBackend) Rules(ctx context.Context) ([]Rule, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Rule{
		{Name: "default", Action: "deny", Enforcement: "enforce", Denied: 3, Throttled: 2,
			Commands: []string{"flushall", "flushdb", "config|rewrite"}},
		{Name: "admin", Action: "deny", Enforcement: "observe", Observed: 12,
			Commands: []string{"@dangerous"}, Except: []string{"info", "keys"}},
	}, b.check(ctx)
}

func (b *fakeBackend) Routes(ctx context.Context) ([]Route, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Route{
		{Name: "pay", Keys: []string{"pay:*"}, Demand: "journal, replicas 1",
			Timeout: 500 * time.Millisecond, OnTimeout: "error", Unavailable: "reject",
			Why: "0 of 1 replicas are online", Held: 3, Confirmed: 1000, Unconfirmed: 2, Late: 1,
			Rejected: 7, Outcomes: map[string]uint64{"timeout": 2},
			HoldP50: 1500 * time.Microsecond, HoldP99: 20 * time.Millisecond},
		{Name: "log", Users: []string{"logger"}, Demand: "aof local", Timeout: time.Second,
			OnTimeout: "close", Unavailable: "pass", Available: true, Passed: 4},
	}, b.check(ctx)
}

func (b *fakeBackend) Fences(ctx context.Context) ([]Fences, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Fences{
		{Kind: "aof local", Rounds: 2, Outcomes: map[string]uint64{"proven": 2}, Proven: 2},
		{Kind: "journal", Asked: true, Available: true, InFlight: 2, Waiting: 12,
			Oldest: 1200 * time.Microsecond, Rounds: 100, Proven: 480,
			Outcomes: map[string]uint64{"proven": 96, "broken": 4},
			RoundP50: 800 * time.Microsecond, RoundP99: 2 * time.Millisecond},
		{Kind: "replicas 1", Asked: true, Why: "0 of 1 replicas are online",
			Unavailable: 75 * time.Second},
	}, b.check(ctx)
}

func (b *fakeBackend) Budgets(ctx context.Context) ([]Budget, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Budget{
		{Name: "all", Keys: 1000, Window: time.Minute, Per: "global"},
		{Name: "each", Keys: 10, Window: time.Hour, Per: "user", Breakers: []Breaker{
			{Who: "bob\x1b[31m", Open: 90 * time.Second, Trips: 2}, {Who: "eve", Deleted: 7}}},
	}, b.check(ctx)
}

func (b *fakeBackend) ResetBudget(ctx context.Context, name, user string) (int, error) {
	if name != "each" {
		return 0, errors.New("no budget is called " + name)
	}
	return len(user), b.check(ctx)
}

func (b *fakeBackend) Pending(ctx context.Context) ([]Pending, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Pending{
		{Token: "abcd-2345", Age: time.Minute, Left: 9 * time.Minute, Asked: 3, Rule: "flush",
			User: "bob\x1b[31m", Addr: "127.0.0.1:50002", DB: 2, Command: "flushall"},
		{Token: "wxyz-6789", Approved: true, Left: 5 * time.Minute, Asked: 1, Rule: "flush",
			User: "default", Addr: "127.0.0.1:50001", Name: "web", Command: `del a "b c"`},
	}, b.check(ctx)
}

func (b *fakeBackend) decide(ctx context.Context, token string) (*Pending, error) {
	list, err := b.Pending(ctx)
	for i := range list {
		if list[i].Token == token && err == nil {
			return &list[i], nil
		}
	}
	return nil, err
}

func (b *fakeBackend) Approve(ctx context.Context, token, _ string) (*Pending, error) {
	return b.decide(ctx, token)
}

func (b *fakeBackend) Reject(ctx context.Context, token, _ string) (*Pending, error) {
	return b.decide(ctx, token)
}

func (b *fakeBackend) Trash(ctx context.Context, limit int) (*Trash, error) {
	trash := &Trash{Databases: []int{8, 9, 10}, Ledger: 11, Free: 3}
	if b.empty {
		return trash, b.check(ctx)
	}
	trash.Total, trash.Free = 3, 1
	at := time.Date(2024, 5, 1, 12, 30, 0, 0, time.UTC)
	if limit == 1 {
		trash.Total, trash.Free = 412, 0 // single keys
		trash.RoomAt = at.Add(24 * time.Hour)
	}
	trash.Entries = []TrashEntry{
		{ID: 4, At: at, Until: at.Add(24 * time.Hour), User: "app", Addr: "10.0.0.9:41000",
			Name: "job", Command: "FLUSHALL", Rule: "flush", Databases: []int{0, 3}, Keys: 1_000_000},
		{ID: 5, At: at, Until: at.Add(time.Hour), User: "app", Addr: "10.0.0.9:41000",
			Command: "flushdb\x1b[2J", Rule: "flush", Databases: []int{1}, Keys: 7, Merging: true},
		{Databases: []int{9}, Keys: 2},
	}
	return trash, b.check(ctx)
}

func (b *fakeBackend) Undo(ctx context.Context, id uint64, how string) (*Undone, error) {
	b.locked(func() { b.undone = append(b.undone, fmt.Sprint(id, how)) })
	switch how {
	case "REPLACE":
		return &Undone{Keys: 10, Trash: 6}, b.check(ctx)
	case "MERGE":
		return &Undone{Keys: 10, Trash: id, Left: 2}, b.check(ctx)
	}
	return &Undone{Keys: 12}, b.check(ctx)
}

func (b *fakeBackend) Purge(ctx context.Context, id uint64) error {
	b.locked(func() { b.purged = append(b.purged, id) })
	return b.check(ctx)
}

func (b *fakeBackend) Journal(ctx context.Context) (*Journal, error) {
	if b.empty {
		return nil, ErrNoJournal
	}
	return fullJournal(), b.check(ctx)
}

func (b *fakeBackend) Timelines(ctx context.Context) ([]Timeline, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Timeline{
		{ID: 1, ReplID: "8371b4fb1155b71f4a04d3e1bc3e18c4a990aeeb", Start: 100, End: 5000,
			Why: "first", Opened: testTime, Last: testTime.Add(time.Hour)},
		{ID: 2, ReplID: "ae30b4fb1155b71f4a04d3e1bc3e18c4a990aeeb", Start: 4000, End: 9000,
			Parent: 1, Fork: 4000, Why: "the primary lost a tail", Opened: testTime},
	}, b.check(ctx)
}

func (b *fakeBackend) Incidents(ctx context.Context) ([]Incident, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Incident{{Timeline: 1, From: 4000, To: 5000, Commands: 17, First: testTime,
		Last: testTime.Add(time.Second), Noticed: testTime.Add(time.Minute),
		Why: "the history does not contain it", State: "lost, open, routes wait", Verdict: "lost", Least: 4100, Most: 20, Keys: 5,
		Hold: true, N: 1, Run: "proxy repair --config j.yaml --incident 1"}}, b.check(ctx)
}

func (b *fakeBackend) Events(ctx context.Context) ([]Event, error) {
	if b.empty {
		return nil, b.check(ctx)
	}
	return []Event{{N: 3, Timeline: 2, From: 6000, To: 7000, First: testTime,
		Last: testTime.Add(time.Second), What: "100000 FLUSHALL", Before: "db0 1005000", After: "no keys",
		Run: "proxy restore --dir j --event 3 --target ADDRESS"}}, b.check(ctx)
}

func (b *fakeBackend) Repair(ctx context.Context, q RepairRequest) error {
	b.mu.Lock()
	b.repaired = q
	b.mu.Unlock()
	return b.check(ctx)
}

func (b *fakeBackend) RepairState(ctx context.Context) (*Repair, error) {
	return &Repair{Incident: 1, Done: true, Took: time.Second, Lines: []string{"3 keys"}}, b.check(ctx)
}

func (b *fakeBackend) AcknowledgeIncidents(ctx context.Context) error {
	b.mu.Lock()
	b.acknowledged++
	b.mu.Unlock()
	return b.check(ctx)
}

func (b *fakeBackend) TakeBase(ctx context.Context) (*Base, error) {
	if b.empty {
		return nil, ErrNoJournal
	}
	return &Base{File: "base-2.rdb", Timeline: 2, Offset: 8000, Size: 5 << 20, Time: testTime},
		b.check(ctx)
}

func (b *fakeBackend) Audit(a Action) { b.locked(func() { b.actions = append(b.actions, a) }) }

func (b *fakeBackend) Reload(ctx context.Context) ([]string, error) {
	b.mu.Lock()
	b.reloads++
	warnings := b.warnings
	b.mu.Unlock()
	return warnings, b.check(ctx)
}

func (b *fakeBackend) Failover(ctx context.Context) (*Failover, error) {
	return &Failover{From: "a:1", To: "b:1", How: "coordinated by the servers", Paused: 20 * time.Millisecond,
		Took: time.Second, Old: "demoted by the proxy"}, b.check(ctx)
}

func (b *fakeBackend) Drain(ctx context.Context) error {
	b.mu.Lock()
	b.drains++
	b.mu.Unlock()
	return b.check(ctx)
}

func (b *fakeBackend) KillSession(ctx context.Context, id uint64) (bool, error) {
	b.mu.Lock()
	b.killed = append(b.killed, id)
	b.mu.Unlock()
	return id == 27, b.check(ctx)
}
