package page

import (
	"context"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/audit"
	"holdfast/proxy/trend"
)

// Backend is the page's view of the proxy, which implements it; the methods that admin.Backend has, too, are
// the same. Each may be called from any goroutine, concurrently, and returns at the end of ctx at the latest.
type Backend interface {
	Stats(ctx context.Context) (*admin.Stats, error)
	Routes(ctx context.Context) ([]admin.Route, error)
	Rules(ctx context.Context) ([]admin.Rule, error)
	Budgets(ctx context.Context) ([]admin.Budget, error)
	// Trends returns the history of the rules' hits and of the keys that the budgets counted.
	Trends(ctx context.Context) (*Trends, error)
	Pending(ctx context.Context) ([]admin.Pending, error)

	// Journal and the methods that follow it return admin.ErrNoJournal without a journal.
	Journal(ctx context.Context) (*admin.Journal, error)
	Incidents(ctx context.Context) ([]admin.Incident, error)
	Events(ctx context.Context) ([]admin.Event, error)
	// History returns the snapshots that the journal holds and the stretches that it lacks.
	History(ctx context.Context) (*History, error)

	// Preview returns the keys at a place, and its difference to the present, within less than a second.
	Preview(ctx context.Context, s Spot) (*Preview, error)

	// TrashPage returns one page of the trash.
	TrashPage(ctx context.Context, from, limit int) (*Trash, error)

	// AuditTail returns the newest lines of the audit log; audit.ErrOff without one.
	AuditTail(ctx context.Context, q audit.Query) (*audit.Tail, error)

	// RepairState returns the repair that runs, or ran last; nil: none was begun.
	RepairState(ctx context.Context) (*admin.Repair, error)

	Undo(ctx context.Context, id uint64, how string) (*admin.Undone, error)
	Purge(ctx context.Context, id uint64) error
	Repair(ctx context.Context, q admin.RepairRequest) error
	Reload(ctx context.Context) (warnings []string, err error)
	Approve(ctx context.Context, token, by string) (*admin.Pending, error)
	Reject(ctx context.Context, token, by string) (*admin.Pending, error)
	Audit(a admin.Action)
}

// Spot is a place of the journal: a time, or, where that is zero, an offset of a timeline.
type Spot struct {
	Time     time.Time
	Timeline uint32
	Offset   int64
	To       int64 // the end of the writes in question, on the same timeline; 0: the present
}

// Preview is the state at a spot, and its difference to the present, or to the end of the writes in question.
type Preview struct {
	At       time.Time // arrival of the last command before the cut; zero: unknown
	Timeline uint32
	Offset   int64  // at which a restore cuts; with Short, the place that the reading reached
	Keys     Keys   // there
	Short    string // why the reading ended before the spot; "": it did not
	Left     bool   // the server has left this history since

	After      Keys  // now, or at the end
	Bytes      int64 // of stream in between
	Read       int64 // of these, those that were read
	Commands   int64 // in them
	Names      []CommandCount
	SinceShort string // why not all of them were read; "": they were
}

// Keys bounds the number of keys of each database.
type Keys struct {
	Known bool     // for every database; those that are not listed have none
	DBs   []DBKeys // ascending
}

// DBKeys bounds the keys of a database.
type DBKeys struct {
	DB        int
	Low, High int64
}

// CommandCount is the number of commands of a name. The most frequent come first, and the rare ones are left out.
type CommandCount struct {
	Name  string
	Count int64
}

// Trends are histories by the names of rules and of budgets.
type Trends struct{ Rules, Budgets map[string]*trend.Trend }

// History lists the journal's snapshots and gaps, oldest first, and the keys at its end.
type History struct {
	Keys  Keys
	Bases []admin.Base
	Gaps  []Gap
}

// Gap is a stretch that the journal never received.
type Gap struct {
	Timeline uint32
	From, To int64
	Why      string
	Time     time.Time // when it was noticed
}

// Trash is a part of the trash.
type Trash struct {
	admin.Trash // Entries: the flushes, oldest first, on the first page; Total: their number

	Keys      []admin.TrashEntry // of single keys, the one that is kept longest first
	From      int                // number of entries of single keys before these
	KeysTotal int
}
