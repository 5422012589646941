package admin

import "time"

// Route is a durable route in force: which writes are acknowledged only once they are proven.
type Route struct {
	Name      string   `json:"name"`
	Keys      []string `json:"keys"` // what it asks of a command; empty: anything
	Users     []string `json:"users"`
	Listeners []string `json:"listeners"`
	Databases []int    `json:"databases"`
	Scripts   bool     `json:"scripts"`

	Demand      string        `json:"demand"` // "journal, replicas 1"
	Timeout     time.Duration `json:"timeout_ns"`
	OnTimeout   string        `json:"on_timeout"`       // "error", "close"
	Unavailable string        `json:"when_unavailable"` // "reject", "pass"

	Available bool   `json:"available"`     // the demand can be met now
	Why       string `json:"why,omitempty"` // if not: the reason, and what to set

	Held        int64  `json:"held"` // replies, now
	Confirmed   uint64 `json:"confirmed"`
	Unconfirmed uint64 `json:"unconfirmed"` // the client was told so, or was closed
	Passed      uint64 `json:"passed"`      // sent although there could be no proof
	Rejected    uint64 `json:"rejected"`
	// Outcomes has every outcome: of the unconfirmed ones it names the cause.
	Outcomes map[string]uint64 `json:"outcomes"`
	Late     uint64            `json:"late"` // proven after the client was told otherwise

	// How long replies were held.
	HoldP50 time.Duration `json:"hold_p50_ns"`
	HoldP99 time.Duration `json:"hold_p99_ns"`
}

// Fences is what the fences of one kind do.
type Fences struct {
	Kind      string `json:"kind"`  // "replicas 1"
	Asked     bool   `json:"asked"` // by a route in force
	Available bool   `json:"available"`
	Why       string `json:"why,omitempty"`
	// Unavailable is for how long it could not be had in all, while a route asked.
	Unavailable time.Duration `json:"unavailable_ns"`

	InFlight int64         `json:"in_flight"`
	Waiting  int64         `json:"waiting"`   // held replies that no fence has proven yet
	Oldest   time.Duration `json:"oldest_ns"` // for how long the oldest of them has waited

	Rounds   uint64            `json:"rounds"` // fences that have ended
	Outcomes map[string]uint64 `json:"outcomes"`
	Proven   uint64            `json:"proven"` // held replies that they have proven
	RoundP50 time.Duration     `json:"round_p50_ns"`
	RoundP99 time.Duration     `json:"round_p99_ns"`
}

// Share is how many held replies one fence that proves anything has proven.
func (f *Fences) Share() float64 {
	if n := f.Outcomes["proven"]; n > 0 {
		return float64(f.Proven) / float64(n)
	}
	return 0
}
