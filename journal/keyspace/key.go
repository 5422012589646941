package keyspace

import (
	"cmp"
	"fmt"
	"iter"
)

// Key names a key of a server.
type Key struct {
	DB   int
	Name string
}

// String formats a key for messages: db0 "user:1".
func (k Key) String() string { return fmt.Sprintf("db%d %q", k.DB, k.Name) }

// Compare orders keys by database and name.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.DB, other.DB), cmp.Compare(k.Name, other.Name))
}

// KeysOf makes an iterator of a list.
func KeysOf(keys []Key) iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// State is a server's description of a key, without its value.
type State struct {
	Exists   bool
	Type     string // as TYPE says it; "" without a key
	Deadline int64  // milliseconds since 1970; 0: none
}

// Relation compares a key of the target with that of the source.
type Relation uint8

// The relations. Unknown is the zero value: equality is never assumed.
const (
	Unknown Relation = iota // it could not be compared; Comparison.Err says why
	Same
	Differs // both have the key; Comparison.What lists the differences
	Missing // only the source has it
	Extra   // only the target has it
)

var relationNames = [...]string{"unknown", "same", "differs", "missing", "extra"}

// String is the relation in a word.
func (r Relation) String() string { return relationNames[r] }

// Comparison is a key on two servers, at one moment on each.
type Comparison struct {
	Key            Key
	Relation       Relation
	Source, Target State
	What           string // of Differs: "type", "value" or "deadline"
	// SourceSince and TargetSince relate each side to Options.Base: Same; Differs; Missing, it is
	// gone; Extra, it did not exist; Unknown. Without a Base, Unknown.
	SourceSince, TargetSince Relation
	Err                      error // of Unknown
}

// Action is the decision about a compared key.
type Action uint8

// The actions.
const (
	Leave Action = iota
	Write        // copy the source's key to the target; where it has none, delete it
)

// Outcome is a key's result.
type Outcome uint8

// The outcomes.
const (
	Left     Outcome = iota // not touched: not asked for, the same, or Unknown
	Written                 // the target's key was made equal to the source's
	Deleted                 // the target's key was removed, because the source has none
	Conflict                // not touched: it changed on the target after it was compared
	Failed                  // not touched: Result.Err says why
	Unsure                  // EXEC was sent and no reply came; Result.Err says what broke
)

var outcomeNames = [...]string{"left", "written", "deleted", "conflict", "failed", "unsure"}

// String is the outcome in a word.
func (o Outcome) String() string { return outcomeNames[o] }

// Result is a key's outcome, and the comparison that led to it.
type Result struct {
	Comparison
	Outcome Outcome
	// Verified says, with Options.Verify, that a written or deleted key equalled the source's when
	// it was compared once more.
	Verified bool
	// Reason explains the outcomes Failed, Conflict and Unsure, and a key that is not Verified.
	Reason error
}
