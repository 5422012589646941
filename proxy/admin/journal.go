package admin

import "time"

// Aside is a damaged journal that was moved aside. Its contents can still be restored.
type Aside struct {
	Dir  string    `json:"dir"`
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
}

// Journal is the state of the journal. Offsets are replication offsets.
type Journal struct {
	Dir      string `json:"dir"`
	State    string `json:"state"`           // "ok", "warn", "full", "failed"
	Error    string `json:"error,omitempty"` // why it has failed
	Required bool   `json:"required"`        // its problems make the proxy not ready

	DiskErrors uint64 `json:"disk_errors"`           // since its opening, including worked-around errors
	FirstError string `json:"first_error,omitempty"` // the first of DiskErrors
	Reopens    int64  `json:"reopens"`               // reopens after a failure
	Aside      *Aside `json:"aside,omitempty"`       // the damaged folder that it replaces

	Server     string        `json:"server"`   // address
	Attached   string        `json:"attached"` // "connecting", "syncing", "streaming", "stopped"
	Since      time.Duration `json:"since_ns"` // time in that state
	LastError  string        `json:"last_error,omitempty"`
	Restorable bool          `json:"restorable"` // a base leads to the present

	Timeline uint32        `json:"timeline"` // 0: none
	Received int64         `json:"received"`
	Durable  int64         `json:"durable"`
	Quiet    time.Duration `json:"quiet_ns"` // time since the server last sent anything

	Segments     int       `json:"segments"`
	SegmentBytes int64     `json:"segment_bytes"`
	Bases        int       `json:"bases"`
	BaseBytes    int64     `json:"base_bytes"`
	BaseRunning  bool      `json:"base_running"`         // a base is being taken
	BaseError    string    `json:"base_error,omitempty"` // why the last base failed
	BaseFailing  int64     `json:"base_failing"`         // failed bases in a row
	BaseSince    time.Time `json:"base_since"`           // since when bases fail; zero: they succeed
	Over         int64     `json:"over"`                 // bytes above retention.bytes
	Oldest       time.Time `json:"oldest"`               // the oldest moment that can be restored
	Gaps         int       `json:"gaps"`
	Incidents    int       `json:"incidents"` // lost tails
	Replaced     int       `json:"replaced"`  // histories replaced by an unrelated one

	Fsyncs      uint64        `json:"fsyncs"`
	FsyncMean   time.Duration `json:"fsync_mean_ns"`
	FsyncLast   time.Duration `json:"fsync_last_ns"`
	FsyncMax    time.Duration `json:"fsync_max_ns"`
	Batches     uint64        `json:"batches"`
	StreamBytes int64         `json:"stream_bytes"` // that became durable since the start
	Rate        int64         `json:"rate"`         // bytes of stream a second

	BacklogSize int64         `json:"backlog_size"`    // of the server, bytes; 0: unknown
	BacklogTime time.Duration `json:"backlog_time_ns"` // time that it covers; 0: unknown

	DiskPercent float64       `json:"disk_percent"`
	DiskFree    int64         `json:"disk_free"`
	TimeToFull  time.Duration `json:"time_to_full_ns"` // 0: unknown or never

	Attempts    int64 `json:"attempts"`
	Continues   int64 `json:"continues"`
	FullResyncs int64 `json:"full_resyncs"`
	BasesTaken  int64 `json:"bases_taken"`
	BasesFailed int64 `json:"bases_failed"`
}

// Timeline is one history in the journal.
type Timeline struct {
	ID     uint32    `json:"id"`
	ReplID string    `json:"replid"`
	Start  int64     `json:"start"`
	End    int64     `json:"end"`
	Parent uint32    `json:"parent"` // 0: none
	Fork   int64     `json:"fork"`   // below it the history is the parent's
	Why    string    `json:"why"`
	Opened time.Time `json:"opened"`
	Last   time.Time `json:"last"` // of the last byte
}

// Incident is the end of a history at the server, and its settlement. The writes from From to To
// may be lost. Replaced: the server came with a history of its own.
type Incident struct {
	N        int       `json:"n"` // from 1 on
	Timeline uint32    `json:"timeline"`
	From     int64     `json:"from"`
	To       int64     `json:"to"`
	Commands int64     `json:"commands"` // -1: not counted
	First    time.Time `json:"first"`    // when the first lost command had arrived
	Last     time.Time `json:"last"`
	Noticed  time.Time `json:"noticed"`
	Why      string    `json:"why"`
	Replaced bool      `json:"replaced,omitempty"`

	State   string    `json:"state"`           // verdict and settlement, for people
	Verdict string    `json:"verdict"`         // "nothing lost", "lost", "in question"; "": older
	Least   int64     `json:"least"`           // the loss is certain from here; To: no certain loss
	Most    int64     `json:"most"`            // commands from From on; -1: not counted
	Keys    int64     `json:"keys"`            // keys touched; -1: not counted
	Hold    bool      `json:"hold"`            // routes that demand the journal refuse writes
	Closed  time.Time `json:"closed,omitzero"` // zero: open
	How     string    `json:"how,omitempty"`   // how it was closed
	Run     string    `json:"run,omitempty"`   // the command that settles it or restores the data
}

// Event is a run of commands that destroyed data.
type Event struct {
	N        int       `json:"n"`
	Timeline uint32    `json:"timeline"`
	From     int64     `json:"from"` // restore point before it
	To       int64     `json:"to"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	What     string    `json:"what"`
	Before   string    `json:"before"` // keys by database
	After    string    `json:"after"`
	Open     bool      `json:"open"`              // more may belong to it
	Expired  bool      `json:"expired,omitempty"` // by deadlines alone: no command can be left out
	Run      string    `json:"run"`               // the command that restores the state before
}

// Base is a snapshot in the journal.
type Base struct {
	File     string    `json:"file"`
	Timeline uint32    `json:"timeline"`
	Offset   int64     `json:"offset"`
	Size     int64     `json:"size"`
	Time     time.Time `json:"time"`
}
