package telemetry

import (
	"context"
	"time"
)

// Snapshot is the state of the proxy at one moment.
type Snapshot struct {
	// Loops holds a Clone of every event loop's counters, in the order of the loops. Telemetry
	// sums them; it keeps none of them.
	Loops    []*Counters
	Upstream UpstreamState
	Reloads  ReloadCount
	Journal  *JournalState // nil without a journal
	Trash    *TrashState   // nil without a trash, or before its first check
	// Succession is nil where neither sentinels nor candidates tell the primary; Sentinels and Candidates
	// where the others do.
	Succession *SuccessionState
	Sentinels  *SentinelState
	Candidates *CandidateState
	Audit      AuditCount
	Budgets    []BudgetCount
	Proofs     []ProofState // by kind of fence; only kinds that a route in force asks for

	Certificates []CertificateState
	Handshakes   []HandshakeCount
	Takeovers    []TakeoverCount
}

// TakeoverCount counts the takeovers of this process with one outcome, as the old or the new one.
type TakeoverCount struct {
	Side, Outcome string
	N             uint64
}

// CertificateState is the state of the certificate of one place.
type CertificateState struct {
	Place    string    // "listener a", "upstream"
	NotAfter time.Time // zero: no certificate
	Unusable bool      // its files are unusable; the certificate read before is in force
}

// HandshakeCount counts the handshakes of one listener with one outcome.
type HandshakeCount struct {
	Listener, Outcome string
	N                 uint64
}

// ProofState is the availability of proofs of one kind.
type ProofState struct {
	Kind        string // as FenceCounters.Kind: "replicas 1"
	Available   bool
	Why         string        // why they are unavailable
	Unavailable time.Duration // total time of unavailability while a route asked for them
}

// TrashState is the number of databases that the trash has for flushes, and the number of free
// ones.
type TrashState struct{ Databases, Free int }

// BudgetCount counts the deletes of one delete budget.
type BudgetCount struct {
	Name                      string
	Deleted, Throttled, Trips uint64
}

// AuditCount counts the lines of the audit log.
type AuditCount struct {
	Written, Dropped, Failed uint64
}

// UpstreamState is the state of the server behind the proxy.
type UpstreamState struct {
	Up      bool
	Server  string // "redis", "valkey"; "" when not known yet
	Version string
	Role    string // "master", "slave": the server's own words
}

// SuccessionState is the state of the primary, and of the failovers that were followed.
type SuccessionState struct {
	Doubt bool   // the primary is in doubt, so writes wait or are refused
	Moves uint64 // changes of the primary
}

// SentinelState is the state of the sentinels.
type SentinelState struct {
	Heard, Of int // sentinels that answer, and that count
}

// CandidateState counts the candidates by their own words.
type CandidateState struct {
	Primaries, Replicas, Silent int
}

// ReloadCount counts the reloads of the configuration.
type ReloadCount struct {
	OK, Failed uint64
	Last       time.Time // time of the last successful one, or of the start
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

// Source supplies the figures: the proxy, which posts to every loop and collects the clones.
// Snapshot is called from any goroutine, at every scrape, and returns at the end of ctx at the
// latest; the caller owns the result.
type Source interface {
	Snapshot(ctx context.Context) (*Snapshot, error)
}

// Readiness decides whether this proxy should get traffic.
type Readiness interface {
	// NotReady lists the reasons against it, one short line each ("draining", "upstream
	// 127.0.0.1:6379: connection refused"); empty means ready. It is called from any goroutine and
	// must not block.
	NotReady() []string

	// Degraded lists problems that keep no traffic away, in the same form. It is called like
	// NotReady.
	Degraded() []string
}
