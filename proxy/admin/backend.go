package admin

import (
	"context"
	"time"
)

// Backend is what the console asks for: the proxy implements it. Every method is called from any
// goroutine, concurrently, and returns at the end of ctx at the latest. What is returned belongs
// to the caller.
type Backend interface {
	// Sessions returns client connections in the order of their ids, at most q.Limit of those
	// that q matches, and how many match in all.
	Sessions(ctx context.Context, q SessionQuery) (list []Session, total int, err error)

	// Links returns all upstream connections, by loop, then id.
	Links(ctx context.Context) ([]Link, error)

	// Stats returns the totals of all loops.
	Stats(ctx context.Context) (*Stats, error)

	// Config returns the configuration in force, in the order of the file, secrets redacted.
	Config(ctx context.Context) ([]Setting, error)

	// Rules returns the rules in force, in their order, with their hit counters.
	Rules(ctx context.Context) ([]Rule, error)

	// Reload reads the configuration file again and puts it in force. The warnings name what
	// changed in the file but needs a restart. An error means that nothing changed.
	Reload(ctx context.Context) (warnings []string, err error)

	// Audit notes in the audit log, if there is one, what an operator did. It never waits.
	Audit(a Action)

	// Drain begins an orderly end of the process: no new clients, what is in flight finishes.
	// It returns at once; a second call does nothing.
	Drain(ctx context.Context) error

	// Trash returns what is in the trash, oldest first: all that was flushed, and of single keys
	// at most limit entries, those that are kept longest; 0 means all. Entries with the id 0 are
	// what was found in reserved databases and is in no entry. total is how many there are.
	Trash(ctx context.Context, limit int) (list []TrashEntry, total int, err error)

	// Undo puts an entry of the trash back. how is REPLACE (what was written since goes to the
	// trash), MERGE (what was written since wins; at the end of ctx it goes on by itself) or empty
	// (an error if something was written since).
	Undo(ctx context.Context, id uint64, how string) (*Undone, error)

	// Purge empties an entry of the trash for good.
	Purge(ctx context.Context, id uint64) error

	// Routes returns the durable routes in force, in their order.
	Routes(ctx context.Context) ([]Route, error)

	// Fences returns the kinds of fences that routes ask for, or asked for once, by kind.
	Fences(ctx context.Context) ([]Fences, error)

	// Journal returns the state of the journal; ErrNoJournal where there is none, as from the
	// three methods that follow.
	Journal(ctx context.Context) (*Journal, error)

	// Timelines returns the histories that the journal holds, oldest first.
	Timelines(ctx context.Context) ([]Timeline, error)

	// Incidents returns what the server lost and the journal holds, oldest first.
	Incidents(ctx context.Context) ([]Incident, error)

	// AcknowledgeIncidents takes those so far out of what readiness shows.
	AcknowledgeIncidents(ctx context.Context) error

	// TakeBase takes a base now and returns when it is durable.
	TakeBase(ctx context.Context) (*Base, error)

	// KillSession closes a session; false when there is none with that id.
	KillSession(ctx context.Context, id uint64) (bool, error)

	// Budgets returns the delete budgets in force, and ResetBudget closes what is open of one: of
	// one user if the budget is per user and user is not empty, or of all. It returns how many.
	Budgets(ctx context.Context) ([]Budget, error)
	ResetBudget(ctx context.Context, name, user string) (open int, err error)

	// Pending returns the commands that wait for a person, the oldest first.
	Pending(ctx context.Context) ([]Pending, error)

	// Approve lets the command with that token pass once, and Reject forgets it. Nil: there is
	// none. by is the operator's address: these two tell the audit log themselves.
	Approve(ctx context.Context, token, by string) (*Pending, error)
	Reject(ctx context.Context, token, by string) (*Pending, error)
}

// Action is what an operator did on the console.
type Action struct {
	Operator string // address
	Name     string // "undo"
	Command  string // "UNDO 4 REPLACE"
	Result   string // "OK …", or the error as the operator saw it
}

// Budget is a delete budget in force.
type Budget struct {
	Name      string        `json:"name"`
	Keys      int64         `json:"keys"` // that may be deleted within the window
	Window    time.Duration `json:"window_ns"`
	Per       string        `json:"per"`       // "global", "user", "address", "session"
	Deleted   uint64        `json:"deleted"`   // since the start
	Throttled uint64        `json:"throttled"` // commands refused
	Trips     uint64        `json:"trips"`     // how often it was used up
	Breakers  []Breaker     `json:"breakers"`
}

// Breaker is one user's, address's or session's part of a budget.
type Breaker struct {
	Who     string        `json:"who"`     // "" for a global budget
	Deleted int64         `json:"deleted"` // within the window
	Open    time.Duration `json:"open_ns"` // for how long deletes are refused; 0: they are not
	Trips   int64         `json:"trips"`
}

// Pending is a command that a person has to approve.
type Pending struct {
	Token    string        `json:"token"`
	Approved bool          `json:"approved"` // it waits for its client now
	Since    time.Time     `json:"since"`    // when it was sent first
	Age      time.Duration `json:"age_ns"`
	Left     time.Duration `json:"left_ns"` // until it is forgotten
	Asked    int           `json:"asked"`   // how often it was sent
	Rule     string        `json:"rule"`
	User     string        `json:"user"`
	Addr     string        `json:"addr"` // of the client that sent it first
	Name     string        `json:"name"`
	DB       int           `json:"db"`
	Command  string        `json:"command"` // without values and secrets
}

// SessionQuery selects sessions.
type SessionQuery struct {
	Limit int // at most so many; 0 means all
	// Match is a glob in Redis's syntax. A session matches when its id, address, name, user or
	// last command does (see Session.Matches). Empty matches all.
	Match string
}

// Session is one client connection.
type Session struct {
	ID           uint64        `json:"id"`
	Loop         int           `json:"loop"`
	Addr         string        `json:"addr"`
	Listener     string        `json:"listener"`
	User         string        `json:"user"`
	Name         string        `json:"name"`
	Library      string        `json:"library"`  // CLIENT SETINFO lib-name and lib-ver
	Protocol     int           `json:"protocol"` // 2 or 3
	DB           int           `json:"db"`
	Age          time.Duration `json:"age_ns"`
	Idle         time.Duration `json:"idle_ns"`
	State        string        `json:"state"`        // "", "multi", "blocked", "held" …
	Paused       bool          `json:"paused"`       // not read at the moment, because of pressure
	Link         uint64        `json:"link"`         // of the pinned link that it holds; 0: none
	LastCommand  string        `json:"last_command"` // name only, never arguments
	Commands     uint64        `json:"commands"`
	Outstanding  int           `json:"outstanding"`   // commands not yet answered
	InputBuffer  int64         `json:"input_buffer"`  // bytes
	OutputBuffer int64         `json:"output_buffer"` // bytes
}

// Link is one upstream connection.
type Link struct {
	ID          uint64        `json:"id"`
	Loop        int           `json:"loop"`
	Kind        string        `json:"kind"`  // "shared", "script", "lobby", "pinned", "fence"
	State       string        `json:"state"` // "connecting", "ready", "busy", "idle", "backoff"
	User        string        `json:"user"`
	Protocol    int           `json:"protocol"`
	DB          int           `json:"db"`
	LocalAddr   string        `json:"local_addr"`
	RemoteAddr  string        `json:"remote_addr"`
	ServerID    int64         `json:"server_id"` // the server's CLIENT ID; 0 when not known
	Age         time.Duration `json:"age_ns"`
	Idle        time.Duration `json:"idle_ns"`
	Sessions    int           `json:"sessions"` // attached to it; of a pinned link 0 or 1
	Session     uint64        `json:"session"`  // that holds a pinned link; 0: none
	Outstanding int           `json:"outstanding"`
	Queued      int64         `json:"queued"` // bytes not yet accepted by the kernel
	Commands    uint64        `json:"commands"`
}

// Stats are the totals since the start, and the state now.
type Stats struct {
	Version  string        `json:"version"`
	PID      int           `json:"pid"`
	Uptime   time.Duration `json:"uptime_ns"`
	Workers  int           `json:"workers"`
	Driver   string        `json:"driver"` // "epoll", "portable"
	Draining bool          `json:"draining"`
	NotReady []string      `json:"not_ready"` // reasons; empty when ready
	Degraded []string      `json:"degraded"`  // what keeps no traffic away

	Upstream Upstream `json:"upstream"`

	Sessions         int64  `json:"sessions"`
	SessionsPaused   int64  `json:"sessions_paused"`
	SessionsAccepted uint64 `json:"sessions_accepted"`
	LinksShared      int64  `json:"links_shared"`
	LinksPinnedIdle  int64  `json:"links_pinned_idle"`
	LinksPinnedBusy  int64  `json:"links_pinned_busy"`
	LinksConnecting  int64  `json:"links_connecting"`
	LinksBroken      uint64 `json:"links_broken"`

	Commands         uint64 `json:"commands"`
	CommandsError    uint64 `json:"commands_error"`
	CommandsDenied   uint64 `json:"commands_denied"`
	CommandsObserved uint64 `json:"commands_observed"`
	CommandsUpstream uint64 `json:"commands_upstream"` // answered -UPSTREAM
	CommandsLocal    uint64 `json:"commands_local"`
	Outstanding      int64  `json:"outstanding"`
	ProtocolErrors   uint64 `json:"protocol_errors"`

	ClientBytesIn     uint64 `json:"client_bytes_in"`
	ClientBytesOut    uint64 `json:"client_bytes_out"`
	UpstreamBytesIn   uint64 `json:"upstream_bytes_in"`
	UpstreamBytesOut  uint64 `json:"upstream_bytes_out"`
	ClientBufferBytes int64  `json:"client_buffer_bytes"`
	LinkBufferBytes   int64  `json:"link_buffer_bytes"`

	Latency []Latency `json:"latency"` // classes with at least one command
}

// Upstream is the server behind the proxy.
type Upstream struct {
	Address string        `json:"address"`
	Up      bool          `json:"up"`
	Error   string        `json:"error,omitempty"` // why it is not up
	Since   time.Duration `json:"since_ns"`        // up or down for so long
	Server  string        `json:"server"`          // "redis", "valkey"
	Version string        `json:"version"`
	Role    string        `json:"role"`
}

// Latency is how long the commands of one class took, from frame read to reply complete.
type Latency struct {
	Class string        `json:"class"`
	Count uint64        `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
}

// Setting is one line of the configuration.
type Setting struct {
	Key     string `json:"key"`   // "upstream.address"
	Value   string `json:"value"` // secrets as "(redacted)"
	Default bool   `json:"default"`
}

// TrashEntry is one entry of the trash.
type TrashEntry struct {
	ID        uint64    `json:"id"`
	At        time.Time `json:"at"`
	Until     time.Time `json:"until"` // when it is emptied
	User      string    `json:"user"`
	Addr      string    `json:"addr"`
	Name      string    `json:"name"` // of the client
	Command   string    `json:"command"`
	Rule      string    `json:"rule"`
	Databases []int     `json:"databases"` // from which it came
	Keys      int64     `json:"keys"`
	Merging   bool      `json:"merging"` // UNDO id MERGE is under way
}

// Undone is what an Undo has done.
type Undone struct {
	Keys    int64  // put back
	Trash   uint64 // the entry that holds what had to make room, or was not put back; 0: nothing
	Left    int64  // keys that a merge has left in the trash
	Merging bool   // it goes on by itself
}

// Rule is one rule in force.
type Rule struct {
	Name        string   `json:"name"`
	Action      string   `json:"action"`
	Enforcement string   `json:"enforcement"` // "enforce", "observe"
	Commands    []string `json:"commands"`
	Except      []string `json:"except"`
	Allowed     uint64   `json:"allowed"`
	Denied      uint64   `json:"denied"`
	Observed    uint64   `json:"observed"`  // the rule would have acted
	Rewritten   uint64   `json:"rewritten"` // carried out without a stall
	Trashed     uint64   `json:"trashed"`   // carried out so that it can be undone
	Held        uint64   `json:"held"`      // waits for, or waited in vain for, a person
	Approved    uint64   `json:"approved"`  // passed because a person approved
	Throttled   uint64   `json:"throttled"` // over the limit
}

// Add adds the hits of the same rule elsewhere.
func (r *Rule) Add(o *Rule) {
	r.Allowed += o.Allowed
	r.Denied += o.Denied
	r.Observed += o.Observed
	r.Rewritten += o.Rewritten
	r.Trashed += o.Trashed
	r.Held += o.Held
	r.Approved += o.Approved
	r.Throttled += o.Throttled
}
