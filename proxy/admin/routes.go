package admin

import "time"

// Route is a durable route in force: its writes are acknowledged only once they are proven.
type Route struct {
	Name      string   `json:"name"`
	Keys      []string `json:"keys"` // patterns that a command must match; empty: any
	Users     []string `json:"users"`
	Listeners []string `json:"listeners"`
	Databases []int    `json:"databases"`
	Scripts   bool     `json:"scripts"`

	Demand      string        `json:"demand"` // "journal, replicas 1"
	Timeout     time.Duration `json:"timeout_ns"`
	OnTimeout   string        `json:"on_timeout"`       // "error", "close"
	Unavailable string        `json:"when_unavailable"` // "reject", "pass"

	Available bool   `json:"available"`     // the demanded proof is available now
	Why       string `json:"why,omitempty"` // if not: the reason, and the setting to change

	Held        int64  `json:"held"` // replies, now
	Confirmed   uint64 `json:"confirmed"`
	Unconfirmed uint64 `json:"unconfirmed"` // answered -UNCONFIRMED, or closed
	Passed      uint64 `json:"passed"`      // sent although the proof was unavailable
	Rejected    uint64 `json:"rejected"`
	// Outcomes has every outcome, with the causes of unconfirmed writes.
	Outcomes map[string]uint64 `json:"outcomes"`
	Late     uint64            `json:"late"` // proven after -UNCONFIRMED

	// Time that replies were held.
	HoldP50 time.Duration `json:"hold_p50_ns"`
	HoldP99 time.Duration `json:"hold_p99_ns"`
}

// Fences is the state of the fences of one kind.
type Fences struct {
	Kind      string `json:"kind"`  // "replicas 1"
	Asked     bool   `json:"asked"` // by a route in force
	Available bool   `json:"available"`
	Why       string `json:"why,omitempty"`
	// Unavailable is the total time without this proof while a route asked for it.
	Unavailable time.Duration `json:"unavailable_ns"`

	InFlight int64         `json:"in_flight"`
	Waiting  int64         `json:"waiting"`   // held replies that no fence has proven yet
	Oldest   time.Duration `json:"oldest_ns"` // waiting time of the oldest of them

	Rounds   uint64            `json:"rounds"` // fences that have ended
	Outcomes map[string]uint64 `json:"outcomes"`
	Proven   uint64            `json:"proven"` // held replies proven by them
	RoundP50 time.Duration     `json:"round_p50_ns"`
	RoundP99 time.Duration     `json:"round_p99_ns"`
}

// Share returns the mean number of held replies that one fence proves, of the fences that prove
// any.
func (f *Fences) Share() float64 {
	if n := f.Outcomes["proven"]; n > 0 {
		return float64(f.Proven) / float64(n)
	}
	return 0
}
