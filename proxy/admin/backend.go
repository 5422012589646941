package admin

import (
	"context"
	"time"
)

// Backend is the console's view of the proxy, which implements it, group by group. Every method may
// be called from any goroutine, concurrently, and returns at the end of ctx at the latest. The
// caller owns the results.
type Backend interface {
	ProcessBackend
	ConnectionBackend
	RuleBackend
	BudgetBackend
	ApprovalBackend
	TrashBackend
	RouteBackend
	JournalBackend
	FailoverBackend
}

// FailoverBackend is the sentinels' part that an operator can ask for.
type FailoverBackend interface {
	// Failover has the sentinels promote a replica, without a loss, and waits for the end. An error
	// says whether anything was done.
	Failover(ctx context.Context) (*Failover, error)
}

// Failover is the end of a planned failover.
type Failover struct {
	From, To, How string
	Paused        time.Duration // of commands that may write
	Took          time.Duration // all of it
	Old           string        // the end of the old primary; "": it is left to the sentinels
}

// ProcessBackend is the process as a whole.
type ProcessBackend interface {
	// Stats returns the totals of all loops.
	Stats(ctx context.Context) (*Stats, error)

	// Config returns the configuration in force, in the order of the file, secrets redacted.
	Config(ctx context.Context) ([]Setting, error)

	// Reload reads the configuration file again and puts it in force. The warnings name the changes
	// that need a restart. An error means that nothing changed.
	Reload(ctx context.Context) (warnings []string, err error)

	// Audit writes an operator's action to the audit log, if there is one. It never waits.
	Audit(a Action)

	// Drain begins an orderly end of the process: no new clients, and commands in flight finish. It
	// returns at once; a second call does nothing.
	Drain(ctx context.Context) error
}

// ConnectionBackend is the connections of clients and to the server.
type ConnectionBackend interface {
	// Sessions returns client connections in the order of their ids, at most q.Limit of those that
	// q matches, and the number of all matches.
	Sessions(ctx context.Context, q SessionQuery) (list []Session, total int, err error)

	// Links returns all upstream connections, by loop, then id.
	Links(ctx context.Context) ([]Link, error)

	// KillSession closes a session; false when there is none with that id.
	KillSession(ctx context.Context, id uint64) (bool, error)
}

// RuleBackend is the rules.
type RuleBackend interface {
	// Rules returns the rules in force, in their order, with their hit counters.
	Rules(ctx context.Context) ([]Rule, error)
}

// BudgetBackend is the delete budgets.
type BudgetBackend interface {
	// Budgets returns the delete budgets in force.
	Budgets(ctx context.Context) ([]Budget, error)

	// ResetBudget closes the open breakers of one budget: of one user if it is per user and user is
	// not empty, else of all. It returns their number.
	ResetBudget(ctx context.Context, name, user string) (open int, err error)
}

// ApprovalBackend is the commands that wait for approval.
type ApprovalBackend interface {
	// Pending returns the commands that wait for approval, oldest first.
	Pending(ctx context.Context) ([]Pending, error)

	// Approve lets the command with that token pass once, and Reject forgets it. nil: no such
	// command. by is the operator's address: both write to the audit log themselves.
	Approve(ctx context.Context, token, by string) (*Pending, error)
	Reject(ctx context.Context, token, by string) (*Pending, error)
}

// TrashBackend is the trash.
type TrashBackend interface {
	// Trash returns the contents of the trash, oldest first: all flushes, and of single keys the
	// limit entries that are kept longest; 0: all. Entries with the id 0 are keys found in reserved
	// databases that belong to no entry.
	Trash(ctx context.Context, limit int) (*Trash, error)

	// Undo restores an entry of the trash. how is REPLACE (newer keys go to the trash), MERGE
	// (newer keys win; at the end of ctx it continues by itself) or empty (an error if there are
	// newer keys).
	Undo(ctx context.Context, id uint64, how string) (*Undone, error)

	// Purge empties an entry of the trash for good.
	Purge(ctx context.Context, id uint64) error
}

// RouteBackend is the durable routes and their proofs.
type RouteBackend interface {
	// Routes returns the durable routes in force, in their order.
	Routes(ctx context.Context) ([]Route, error)

	// Fences returns the fences, by kind, that routes ask for or asked for earlier.
	Fences(ctx context.Context) ([]Fences, error)
}

// JournalBackend is the journal. Without one its methods return ErrNoJournal.
type JournalBackend interface {
	// Journal returns the state of the journal.
	Journal(ctx context.Context) (*Journal, error)

	// Timelines returns the histories that the journal holds, oldest first.
	Timelines(ctx context.Context) ([]Timeline, error)

	// Incidents returns the lost writes, certain or possible, that the journal holds, oldest first.
	Incidents(ctx context.Context) ([]Incident, error)

	// Events returns the runs of commands that destroyed data, oldest first.
	Events(ctx context.Context) ([]Event, error)

	// AcknowledgeIncidents closes the open incidents: the operator accepts the loss.
	AcknowledgeIncidents(ctx context.Context) error

	// Repair begins to restore the server's lost writes, and returns at once. RepairState returns
	// its progress; nil: none was begun.
	Repair(ctx context.Context, q RepairRequest) error
	RepairState(ctx context.Context) (*Repair, error)

	// TakeBase takes a base now and returns when it is durable.
	TakeBase(ctx context.Context) (*Base, error)
}

// Action is one operator command on the console.
type Action struct {
	Operator string // address
	Name     string // "undo"
	Command  string // "UNDO 4 REPLACE"
	Result   string // "OK …", or the error as shown to the operator
}

// Budget is a delete budget in force.
type Budget struct {
	Name      string        `json:"name"`
	Keys      int64         `json:"keys"` // maximum of deletes within the window
	Window    time.Duration `json:"window_ns"`
	Per       string        `json:"per"`       // "global", "user", "address", "session"
	Deleted   uint64        `json:"deleted"`   // since the start
	Throttled uint64        `json:"throttled"` // commands refused
	Trips     uint64        `json:"trips"`     // times that it was used up
	Breakers  []Breaker     `json:"breakers"`
}

// Breaker is one user's, address's or session's part of a budget.
type Breaker struct {
	Who     string        `json:"who"`     // "" for a global budget
	Deleted int64         `json:"deleted"` // within the window
	Open    time.Duration `json:"open_ns"` // how long deletes will be refused; 0: not refused
	Trips   int64         `json:"trips"`
}

// Pending is a command that needs approval.
type Pending struct {
	Token    string        `json:"token"`
	Approved bool          `json:"approved"` // approved; it waits for its client to send it again
	Since    time.Time     `json:"since"`    // when it was first sent
	Age      time.Duration `json:"age_ns"`
	Left     time.Duration `json:"left_ns"` // until it is forgotten
	Asked    int           `json:"asked"`   // times that it was sent
	Rule     string        `json:"rule"`
	User     string        `json:"user"`
	Addr     string        `json:"addr"` // of the client that sent it first
	Name     string        `json:"name"`
	DB       int           `json:"db"`
	Command  string        `json:"command"` // without values and secrets
}

type SessionQuery struct {
	Limit int // maximum number; 0: all
	// Match is a glob in Redis's syntax. A session matches by its id, address, name, user or last
	// command (see Session.Matches). Empty matches all.
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
	Paused       bool          `json:"paused"`       // not read now, under memory pressure
	Link         uint64        `json:"link"`         // its pinned link; 0: none
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
	Kind        string        `json:"kind"`  // "shared", "bulk", "script", "lobby", "pinned", "fence"
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
	Session     uint64        `json:"session"`  // the session that holds a pinned link; 0: none
	Outstanding int           `json:"outstanding"`
	Queued      int64         `json:"queued"` // bytes not yet accepted by the kernel
	Commands    uint64        `json:"commands"`
}

// Stats are the totals since the start, and the state now.
type Stats struct {
	Version  string        `json:"version"`
	Config   string        `json:"config,omitempty"` // the file that RELOAD reads; "": none
	PID      int           `json:"pid"`
	Uptime   time.Duration `json:"uptime_ns"`
	Workers  int           `json:"workers"`
	Driver   string        `json:"driver"` // "epoll", "portable"
	Draining bool          `json:"draining"`
	NotReady []string      `json:"not_ready"` // reasons; empty when ready
	Degraded []string      `json:"degraded"`  // problems that keep no traffic away

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
	Since   time.Duration `json:"since_ns"`        // time since it went up or down
	Server  string        `json:"server"`          // "redis", "valkey"
	Version string        `json:"version"`
	Role    string        `json:"role"`
	RunID   string        `json:"run_id,omitempty"` // of the server's process

	// Outage is set while an event loop cannot connect.
	Outage *Outage `json:"outage,omitempty"`

	Replicas []Replica `json:"replicas"` // that are attached, journals left out
	// Sentinels is set where sentinels name the server.
	Sentinels *Sentinels `json:"sentinels,omitempty"`
	// Candidates is set where upstream.address is a list.
	Candidates *Candidates `json:"candidates,omitempty"`
}

// Replica is a replica of the server behind the proxy, as its INFO shows it.
type Replica struct {
	Address string        `json:"address"`
	State   string        `json:"state"`
	Offset  int64         `json:"offset"` // that it has acknowledged
	Lag     time.Duration `json:"lag_ns"` // since its last acknowledgement, in whole seconds
}

// Sentinels is what the sentinels say, and what followed from it.
type Sentinels struct {
	Name      string     `json:"name"` // that they have for the primary
	Votes     int        `json:"votes"`
	Of        int        `json:"of"`                  // sentinels that count
	Quorum    int        `json:"quorum"`              // of their own configuration; 0: unknown
	Candidate string     `json:"candidate,omitempty"` // named by a majority, not yet a primary
	Doubt     string     `json:"doubt,omitempty"`     // why writes wait, or are refused
	Certain   bool       `json:"certain"`             // the doubt is a fact, not the sign of one sentinel
	List      []Sentinel `json:"list"`
	Moves     []Move     `json:"moves"` // the last ones, oldest first
	Total     uint64     `json:"moves_total"`
}

// Sentinel is one sentinel.
type Sentinel struct {
	Address    string `json:"address"`
	ID         string `json:"id"`
	Configured bool   `json:"configured"`
	Counts     bool   `json:"counts"`
	Heard      bool   `json:"heard"`
	Names      string `json:"names"`
	Epoch      int64  `json:"epoch"`
	Sign       string `json:"sign,omitempty"`
	Error      string `json:"error,omitempty"`
}

// Candidates are the accounts of the servers of upstream.address, and their consequences.
type Candidates struct {
	Primary string      `json:"primary"` // "": none is known
	Why     string      `json:"why"`     // how it is known, or why none is
	Doubt   string      `json:"doubt,omitempty"`
	Certain bool        `json:"certain"`           // the doubt is a fact: the primary is not believed to be one
	Against []string    `json:"against,omitempty"` // that say that they are primaries and are not taken, and why
	List    []Candidate `json:"list"`
	Moves   []Move      `json:"moves"` // the last ones, oldest first
	Total   uint64      `json:"moves_total"`
}

// Candidate is one server of upstream.address.
type Candidate struct {
	Address   string `json:"address"`
	Heard     bool   `json:"heard"` // it answers
	Says      string `json:"says"`
	History   string `json:"history,omitempty"`   // its replication id
	Continues string `json:"continues,omitempty"` // its second one
	Offset    int64  `json:"offset"`
}

// Move is a change of the primary that the proxy followed.
type Move struct {
	At     time.Time     `json:"at"`
	From   string        `json:"from"`
	To     string        `json:"to"`
	Why    string        `json:"why"`       // the first reason to doubt the old one
	Paused time.Duration `json:"paused_ns"` // from that, or the loss of the connection, until the new one was in force
	Held   int64         `json:"held"`      // commands that waited then
	Votes  int           `json:"votes"`     // of sentinels
	Of     int           `json:"of"`
	Old    string        `json:"old"`          // how the old server ended; "": nothing was done so far
	Fed    int64         `json:"fed_commands"` // that only the journal had, and the new one was given
}

// Outage is a time without a connection to the server, as seen by the event loop with the longest
// remaining wait.
type Outage struct {
	For  time.Duration `json:"for_ns"`
	Why  string        `json:"why"`
	Next time.Duration `json:"next_attempt_ns"` // until the next attempt; 0: with the next command
	Held int64         `json:"held"`            // sessions whose command waits, on all loops
	Left time.Duration `json:"left_ns"`         // until they are answered -UPSTREAM; 0: none wait
}

// Latency is the duration of the commands of one class, from frame read to reply complete.
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

// Trash is the contents of the trash, and its databases, which are hidden from clients.
type Trash struct {
	Entries   []TrashEntry `json:"entries"`
	Total     int          `json:"total"`     // number of all entries
	Databases []int        `json:"databases"` // each holds one flushed database
	Ledger    int          `json:"ledger"`    // the database that holds the ledger and single keys
	Free      int          `json:"free"`      // of Databases; 0: full, flushes are denied
	RoomAt    time.Time    `json:"room_at"`   // when the next of Databases is emptied; zero: never
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
	Databases []int     `json:"databases"` // the entry's original databases
	Keys      int64     `json:"keys"`
	Merging   bool      `json:"merging"` // UNDO id MERGE is under way
}

// Undone is the result of an Undo.
type Undone struct {
	Keys    int64  // restored
	Trash   uint64 // the entry with the keys that were displaced or not restored; 0: none
	Left    int64  // keys left in the trash by a merge
	Merging bool   // the merge continues by itself
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
	Rewritten   uint64   `json:"rewritten"` // executed without a stall
	Trashed     uint64   `json:"trashed"`   // executed so that it can be undone
	Held        uint64   `json:"held"`      // held for approval, with or without success
	Approved    uint64   `json:"approved"`  // passed after an approval
	Throttled   uint64   `json:"throttled"` // over the limit
}

// Add adds the hits of the same rule on another loop.
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

// Hits is the number of commands that the rule decided.
func (r *Rule) Hits() uint64 {
	return r.Allowed + r.Denied + r.Observed + r.Rewritten + r.Trashed + r.Held + r.Approved + r.Throttled
}
