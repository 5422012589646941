package tap

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// Options configure a Tap. Journal and Address are required.
type Options struct {
	Journal *journal.Journal
	Address string // of the primary: host:port, or unix: and a path

	// Username and Password are for AUTH. The user needs +psync +replconf, and +info to tell lost
	// tails from new histories and to warn about the backlog. Both empty: no AUTH.
	Username, Password string

	// FACK makes the journal's fsyncs count in the primary's own WAITAOF, like those of a replica
	// with an append-only file. Servers older than 7.2 ignore it.
	FACK bool

	// Base is the schedule of fresh bases.
	Base BasePolicy

	// Sample is the interval of the looks at a primary that is written to: its number of keys is
	// recorded in the journal and, with Mark, its offset is written to it (see MarkKey). The user
	// needs +info, +select, and +get +set on that key. 0: never.
	Sample time.Duration
	Mark   bool

	// Ledger is the database in which the proxy's trash has its ledger. 0: the highest.
	Ledger int

	// Pace is how long bytes may wait in the socket unless a client waits for them (see Hurry), so
	// that more of them share an fsync. 0: 20 ms; below zero: they never wait.
	Pace time.Duration
	// AckEvery is the longest time between acknowledgements. 0: one second, as replicas do.
	AckEvery time.Duration
	// Timeout is the longest silence of the primary; it sends a PING every ten seconds unless
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
	// must not block, and may call only lock-free methods of the Tap. Journal.Subscribe reports a
	// new Confirmed. nil: no callback.
	OnChange func()
	// Name is that of the tap's connections in the server's CLIENT LIST. "": none.
	Name string
	// Dial opens connections. nil: a plain dialer.
	Dial wire.DialFunc
	// Serve is that of the primary's Endpoint; nil: none.
	Serve *tls.Config
	// Logger receives the messages for an operator. nil: discard.
	Logger *slog.Logger
}

// BasePolicy is the schedule of fresh bases: one is taken when either limit is passed. The zero
// value takes only those that the journal cannot do without.
type BasePolicy struct {
	Every time.Duration // age of the newest base
	Bytes int64         // length of the stream since the newest base
}

// withDefaults fills zero fields and refuses unusable options.
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
