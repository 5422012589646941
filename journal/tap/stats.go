package tap

import (
	"sync"
	"time"
)

// State is what the tap is doing.
type State string

// The states of a tap.
const (
	Connecting State = "connecting" // or waiting before the next attempt
	Syncing    State = "syncing"    // receiving a snapshot
	Streaming  State = "streaming"  // attached
	Stopped    State = "stopped"    // Run returned
)

// Stats is what a tap says of itself. Counters are since New.
type Stats struct {
	State    State
	Since    time.Time // when State began
	Primary  string    // its address
	ReplID   string    // of the history attached to, or last attached to
	Covered  bool      // a base leads to everything that arrives
	LastByte time.Time // when the primary last said something

	Connects    int64 // attempts
	Continues   int64 // +CONTINUE
	FullResyncs int64 // +FULLRESYNC, of the replication connection
	LostTails   int64
	Bases       int64 // taken over a connection of their own
	BaseErrors  int64
	BaseRunning bool
	BytesRead   int64 // of the stream
	Acks        int64

	Rate        float64       // bytes per second of the stream, averaged over some ten seconds
	BacklogSize int64         // bytes; 0: unknown
	BacklogTime time.Duration // how long the backlog lasts at the highest Rate seen; 0: unknown
	LastErr     error         // of the last connection that ended; nil once attached
}

// statsBox is Stats under a mutex, held for moments only.
type statsBox struct {
	mu     sync.Mutex
	s      Stats
	warned time.Time // of the backlog
}

func (b *statsBox) update(change func(*Stats)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.s)
}

func (b *statsBox) enter(state State) {
	b.update(func(s *Stats) {
		if s.State != state {
			s.State, s.Since = state, time.Now()
		}
	})
}

// Stats returns a copy of the present figures.
func (t *Tap) Stats() Stats {
	t.stats.mu.Lock()
	s := t.stats.s
	t.stats.mu.Unlock()
	s.Primary = t.address()
	s.Covered = t.Covered()
	s.BytesRead = t.bytesRead.Load()
	s.Acks = t.acks.Load()
	if ns := t.lastByte.Load(); ns != 0 {
		s.LastByte = time.Unix(0, ns)
	}
	return s
}
