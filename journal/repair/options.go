package repair

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"holdfast/journal"
	"holdfast/journal/keyspace"
	"holdfast/journal/scratch"
	"holdfast/journal/vfs"
)

// Conflicts is the treatment of keys that both histories changed.
type Conflicts int

// The treatments of conflicts.
const (
	List    Conflicts = iota // they are left as they are, and the repair is not done
	Skip                     // they are left as they are: the live server's state wins
	Replace                  // they are set to the lost branch's state
)

var conflictNames = [...]string{"list", "skip", "replace"}

// String is the option's word.
func (c Conflicts) String() string { return conflictNames[c] }

// ParseConflicts reads skip, replace or list, in any case.
func ParseConflicts(text string) (Conflicts, error) {
	for i, name := range conflictNames {
		if strings.EqualFold(text, name) {
			return Conflicts(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of skip, replace and list", text)
}

// Options configure a repair. Fresh, Incident and Live are required.
type Options struct {
	// Dir and FS are the journal's folder and disk, for the note about a feed; "": the server is
	// not fed.
	Dir string
	FS  vfs.FS // nil: the machine's
	// Fresh returns the journal's present view.
	Fresh    func() (*journal.View, error)
	Incident int // its number
	Live     keyspace.Endpoint
	Scratch  scratch.Options

	// FeedOnly: the server is fed the lost branch, or nothing is done (replay.ErrNotFed). Sentinels may
	// watch it: a feed is over before they act.
	FeedOnly bool

	Conflicts Conflicts
	DryRun    bool    // compare, decide, and write nothing
	Rate      float64 // keys a second on the live server; 0: any number
	TempDir   string  // for the pile of keys; "": the system's temporary folder

	// Item, if not nil, is called for each key that is left undone, and for each conflict; in a dry
	// run also for each key that would be written.
	Item func(Item)
	// GiveWay, if not nil, is called before keys are compared, which takes its time: a feed keeps
	// clients from writing and is over soon.
	GiveWay func()
	// Progress, if not nil, is called now and then.
	Progress func(Progress)
	Logger   *slog.Logger // nil: discard
	// step, if not nil, is called at each step: tests end the process there.
	step func(string)
}

// Progress is the state of a repair.
type Progress struct {
	Phase string // in words: "reading the lost branch"
	Done  int64  // keys; 0 where they are not counted
	Report
}

// Report is the outcome of a repair. The counts are keys.
type Report struct {
	Incident journal.Incident `json:"incident"`
	Scratch  string           `json:"scratch,omitempty"`

	// Fed is how many commands of the lost history the server was fed, or would be fed in a dry
	// run. Whole: they are all of it, and no key was compared. NotFed is the reason against a feed
	// of the rest.
	Fed    int64  `json:"fed_commands,omitempty"`
	Whole  bool   `json:"fed_whole,omitempty"`
	NotFed string `json:"not_fed,omitempty"`

	Touched   int64 `json:"touched"`             // by the lost branch, at most
	Same      int64 `json:"same"`                // are as the lost branch left them
	Ours      int64 `json:"ours"`                // that only the live history changed, left as they are
	Restored  int64 `json:"restored"`            // put back
	Deleted   int64 `json:"deleted"`             // removed, as the lost branch had
	Settled   int64 `json:"settled,omitempty"`   // put back by a repair before, and not looked at
	Conflicts int64 `json:"conflicts"`           // changed by both; also those that are equal by chance
	Replaced  int64 `json:"replaced,omitempty"`  // of these, set to the lost branch's state
	Failed    int64 `json:"failed"`              // not compared, not written or not verified
	Later     int64 `json:"later,omitempty"`     // written again by clients since they were put back
	Verified  int64 `json:"verified"`            // written keys that were read again and are right
	Functions bool  `json:"functions,omitempty"` // libraries of functions differ after they were put back
	Libraries int64 `json:"libraries,omitempty"` // of functions that were put back, or deleted

	// Verdict is the comparison's verdict on an incident in question; "": it was none, or still is
	// one. Why is the proof.
	Verdict journal.Verdict `json:"verdict,omitempty"`
	Why     string          `json:"why,omitempty"`

	Mode   string `json:"conflicts_mode"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Incomplete is why the live history is not fully known; "": it is.
	Incomplete string        `json:"incomplete,omitempty"`
	Paused     time.Duration `json:"paused_ns,omitempty"` // for the live server's latency
	Took       time.Duration `json:"took_ns"`
}

// Done reports that every key is done and verified: the incident can be closed.
func (r *Report) Done() bool {
	return !r.DryRun && r.Failed == 0 && !r.Functions && (r.Conflicts == 0 || r.Mode != List.String()) &&
		r.Verified+r.Later == r.Restored+r.Deleted+r.Replaced
}

// Item is a key's outcome.
type Item struct {
	Key  keyspace.Key
	What string // "conflict", "failed", "restore", "delete"
	Why  string
}
