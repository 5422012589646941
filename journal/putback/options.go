package putback

import (
	"log/slog"
	"time"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
	"holdfast/journal/scratch"
)

// Conflicts is the treatment of keys that are conflicts.
type Conflicts uint8

// The treatments.
const (
	Skip    Conflicts = iota // they stay as they are
	Replace                  // they are set back to the point, too
	List                     // if there is one, nothing is written
)

// Options selects the keys to put back. Open, View, Plan and Into are required, and Patterns or
// Span.
type Options struct {
	Open func() (*journal.View, error) // returns a fresh view of the journal
	View *journal.View
	Plan *replay.Plan // the point; it is changed with Shift

	// Patterns choose keys by their names, as KEYS does; none: all. Match does the same for one
	// name.
	Patterns []string
	Match    func(name string) bool
	DBs      []int // only in these databases; none: in all
	// Without, if not nil, says which databases are left out.
	Without func(db int) bool
	// Span chooses the keys that commands of a part of the stream have touched; nil: any. It may
	// not begin before the point.
	Span *Span
	// By, if not nil, chooses the commands of the span by their names, in lower case. All others count as
	// writes of others since the point.
	By func(name string) bool

	Into      keyspace.Endpoint
	Conflicts Conflicts
	// Shift moves deadlines on by the time from the point to Now (zero: the present). Otherwise
	// they are the old ones, and a key that has expired since stays gone.
	Shift  bool
	Now    time.Time
	DryRun bool // compare, and write nothing
	// Patience bounds the wait for the journal that records the target; 0: 30 s.
	Patience time.Duration
	Rate     float64 // keys per second; 0: any number
	Scratch  scratch.Options

	// Restoring reports the scratch server's progress, Progress that of the keys; may be nil.
	Restoring func(replay.Progress)
	Progress  func(Summary)
	Report    func(Item) error // called for each key that is not Same; may be nil
	Logger    *slog.Logger     // nil: discard
}

// Action is a key's outcome, or its expected one in a dry run.
type Action uint8

// The actions.
const (
	Same       Action = iota // it has its state at the point
	PutBack                  // the target did not have it
	Replaced                 // the target had another value, or another deadline
	Removed                  // there was no such key at the point
	Conflicted               // left as it is: see the package
	Unknown                  // left as it is: it cannot be compared
	Failed                   // left as it is: the target refused it
	Unsure                   // the connection broke in the middle: it may have been written
	Unproven                 // it was written, and does not compare as equal
)

var actionNames = [...]string{"same", "put back", "replaced", "removed", "conflict", "unknown",
	"failed", "unsure", "unproven"}

// String is the action in a word or two.
func (a Action) String() string { return actionNames[a] }

// Item is the outcome of one key.
type Item struct {
	Key    keyspace.Key
	Action Action
	What   string // the differences: "type", "value", "deadline"; "" where one side has none
	Why    error  // the reason of every action that failed or was left; nil otherwise
}

// Summary counts the keys by outcome.
type Summary struct {
	Count    [len(actionNames)]int64 // by Action
	Recorded bool                    // the target is the server that the journal records
	Names    map[string]int64        // the commands of the span that touch keys, by name in lower case
	Scratch  string                  // the server that held the point
	Paused   time.Duration           // to spare the target
	Took     time.Duration
}

// Keys is the number of keys compared.
func (s *Summary) Keys() (n int64) {
	for _, one := range s.Count {
		n += one
	}
	return n
}

// Written is the number of keys written.
func (s *Summary) Written() int64 { return s.Count[PutBack] + s.Count[Replaced] + s.Count[Removed] }

// open is the number of keys not known to have their state at the point.
func (s *Summary) open() int64 {
	return s.Count[Unknown] + s.Count[Failed] + s.Count[Unsure] + s.Count[Unproven]
}
