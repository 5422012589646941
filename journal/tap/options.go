package tap

import (
	"errors"
	"log/slog"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// Options says what to attach to what. Journal and Address are required.
type Options struct {
	Journal *journal.Journal
	Address string // of the primary: host:port, or unix: and a path

	// Username and Password are for AUTH. The user needs +psync +replconf, and +info for lost
	// tails to be told from new histories and for warnings about the backlog. Both empty: no
	// AUTH.
	Username, Password string

	// FACK makes the journal's fsyncs count in the primary's own WAITAOF, as those of a replica
	// with an append-only file. Servers older than 7.2 ignore it.
	FACK bool

	// Base says when a fresh base is taken.
	Base BasePolicy

	// Pace is how long bytes may wait in the socket while nobody waits for them (see Hurry), so
	// that more of them share an fsync. 0: 20 ms; below zero: they never wait.
	Pace time.Duration
	// AckEvery is the longest time between acknowledgements. 0: one second, as replicas do.
	AckEvery time.Duration
	// Timeout is how long the primary may be silent; it sends a PING every ten seconds unless
	// configured otherwise. It also bounds connecting and each step of the handshake. 0: one
	// minute, the servers' own repl-timeout.
	Timeout time.Duration
	// BackoffMin and BackoffMax are the first and the longest pause between attempts, which
	// doubles in between. 0: 100 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// BacklogTime is the least time that the primary's backlog should hold at the observed rate:
	// below it the tap warns. 0: one minute.
	BacklogTime time.Duration

	// OnChange is called after Attached or Covered changed, by the goroutine that changed it: it
	// must not block, and must not call the Tap but for what takes no lock. When more is confirmed
	// Journal.Subscribe tells. nil: nobody.
	OnChange func()
	// Dial opens connections. nil: a plain dialer.
	Dial wire.DialFunc
	// Logger receives what an operator should know. nil: discard.
	Logger *slog.Logger
}

// BasePolicy says when a fresh base is taken: when either limit is passed. The zero value takes
// none but those that the journal cannot do without.
type BasePolicy struct {
	Every time.Duration // age of the newest base
	Bytes int64         // length of the stream since the newest base
}

// withDefaults fills what is zero and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.Journal == nil || o.Address == "" {
		return o, errors.New("tap: Journal and Address are required")
	}
	if o.Pace == 0 {
		o.Pace = 20 * time.Millisecond
	}
	if o.AckEvery == 0 {
		o.AckEvery = time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.BackoffMin == 0 {
		o.BackoffMin = 100 * time.Millisecond
	}
	if o.BackoffMax == 0 {
		o.BackoffMax = 5 * time.Second
	}
	if o.BacklogTime == 0 {
		o.BacklogTime = time.Minute
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
