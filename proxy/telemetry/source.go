package telemetry

import (
	"context"
	"time"
)

// Snapshot is all that the proxy tells at one moment.
type Snapshot struct {
	// Loops holds a Clone of every event loop's counters, in the order of the loops. Telemetry
	// sums them; it keeps none of them.
	Loops    []*Counters
	Upstream UpstreamState
	Reloads  ReloadCount
	Journal  *JournalState // nil without a journal
	Audit    AuditCount
	Budgets  []BudgetCount
	Proofs   []ProofState // by kind of fence; only those that routes in force ask for
}

// ProofState says whether proofs of one kind can be had.
type ProofState struct {
	Kind        string // as FenceCounters.Kind: "replicas 1"
	Available   bool
	Why         string        // why they cannot
	Unavailable time.Duration // for how long they could not be had in all while a route asked
}

// BudgetCount counts what one delete budget saw.
type BudgetCount struct {
	Name                      string
	Deleted, Throttled, Trips uint64
}

// AuditCount counts the lines of the audit log.
type AuditCount struct {
	Written, Dropped, Failed uint64
}

// UpstreamState is what is known of the server behind the proxy.
type UpstreamState struct {
	Up      bool
	Server  string // "redis", "valkey"; "" when not known yet
	Version string
	Role    string // "master", "slave": the server's own words
}

// ReloadCount counts the reloads of the configuration.
type ReloadCount struct {
	OK, Failed uint64
	Last       time.Time // of the last one that succeeded, or of the start
}

// Sum adds up the counters of all loops. The labels are the first loop's.
func (s *Snapshot) Sum() *Counters {
	if len(s.Loops) == 0 {
		return NewCounters(&Labels{})
	}
	sum := s.Loops[0].Clone()
	for _, c := range s.Loops[1:] {
		sum.Add(c)
	}
	return sum
}

// Source is what telemetry asks for figures: the proxy, which posts to every loop and gathers the
// clones. Snapshot is called from any goroutine, at every scrape, and returns at the end of ctx
// at the latest; the caller owns what it returns.
type Source interface {
	Snapshot(ctx context.Context) (*Snapshot, error)
}

// Readiness says whether traffic should be sent here.
type Readiness interface {
	// NotReady lists the reasons why not, one short line each ("draining", "upstream
	// 127.0.0.1:6379: connection refused"); empty means ready. It is called from any goroutine
	// and must not block.
	NotReady() []string

	// Degraded lists what else an operator should know, in the same form. It keeps no traffic
	// away. Called as NotReady is.
	Degraded() []string
}
