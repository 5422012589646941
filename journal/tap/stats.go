package tap

import (
	"sync"
	"time"
)

// State is the tap's present step.
type State string

// The states of a tap.
const (
	Connecting State = "connecting" // or waiting before the next attempt
	Syncing    State = "syncing"    // receiving a snapshot
	Streaming  State = "streaming"  // attached
	Stopped    State = "stopped"    // Run returned
)

// Stats is a tap's own account. Counters are since New.
type Stats struct {
	State    State
	Since    time.Time // start of State
	Primary  string    // its address
	ReplID   string    // of the history attached to, or last attached to
	Covered  bool      // a base leads to everything received
	LastByte time.Time // arrival of the last byte

	Connects    int64 // attempts
	Continues   int64 // +CONTINUE
	FullResyncs int64 // +FULLRESYNC, of the replication connection
	Bases       int64 // taken over a connection of their own
	BaseErrors  int64
	BaseRunning bool
	BaseErr     error     // why the last base failed; nil: it succeeded
	BaseFailing int64     // failures in a row
	BaseSince   time.Time // of the first of these failures
	BytesRead   int64     // of the stream

	BacklogSize int64         // bytes; 0: unknown
	BacklogTime time.Duration // time that the backlog lasts at the highest rate seen, averaged over some ten seconds; 0: unknown
	Marked      int64         // offset in the last mark written; 0: none
	Dataset     int64         // the server's data in memory, in bytes; 0: unknown
	Buffer      int64         // limit of its output buffer for a replica; 0: no limit, or unknown
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
	if ns := t.lastByte.Load(); ns != 0 {
		s.LastByte = time.Unix(0, ns)
	}
	return s
}
