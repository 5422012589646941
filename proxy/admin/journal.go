package admin

import "time"

// Journal is the state of the journal. Offsets are replication offsets.
type Journal struct {
	Dir      string `json:"dir"`
	State    string `json:"state"`           // "ok", "warn", "full", "failed"
	Error    string `json:"error,omitempty"` // why it has failed
	Required bool   `json:"required"`        // what is wrong with it makes the proxy not ready

	DiskErrors uint64 `json:"disk_errors"`           // since it was opened, also where a way round was found
	FirstError string `json:"first_error,omitempty"` // of them
	Reopens    int64  `json:"reopens"`               // after it had failed

	Server     string        `json:"server"`   // address
	Attached   string        `json:"attached"` // "connecting", "syncing", "streaming", "stopped"
	Since      time.Duration `json:"since_ns"` // for so long
	LastError  string        `json:"last_error,omitempty"`
	Restorable bool          `json:"restorable"` // a base leads to the present

	Timeline uint32        `json:"timeline"` // 0: none
	Received int64         `json:"received"`
	Durable  int64         `json:"durable"`
	Quiet    time.Duration `json:"quiet_ns"` // since the server last said something

	Segments     int       `json:"segments"`
	SegmentBytes int64     `json:"segment_bytes"`
	Bases        int       `json:"bases"`
	BaseBytes    int64     `json:"base_bytes"`
	BaseRunning  bool      `json:"base_running"` // one is being taken
	Oldest       time.Time `json:"oldest"`       // the oldest moment that can be restored
	Gaps         int       `json:"gaps"`
	Incidents    int       `json:"incidents"` // lost tails
	Replaced     int       `json:"replaced"`  // histories that another one followed without a word

	Fsyncs      uint64        `json:"fsyncs"`
	FsyncMean   time.Duration `json:"fsync_mean_ns"`
	FsyncLast   time.Duration `json:"fsync_last_ns"`
	FsyncMax    time.Duration `json:"fsync_max_ns"`
	Batches     uint64        `json:"batches"`
	StreamBytes int64         `json:"stream_bytes"` // that became durable since the start
	Rate        int64         `json:"rate"`         // bytes of stream a second

	BacklogSize int64         `json:"backlog_size"`    // of the server, bytes; 0: unknown
	BacklogTime time.Duration `json:"backlog_time_ns"` // how long it lasts; 0: unknown

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

// Incident is a lost tail: a range that the journal holds and the server lost. Replaced: a history
// ended, and whether anything was lost cannot be told.
type Incident struct {
	Timeline uint32    `json:"timeline"`
	From     int64     `json:"from"`
	To       int64     `json:"to"`
	Commands int64     `json:"commands"` // -1: not counted
	First    time.Time `json:"first"`    // when the first lost command had arrived
	Last     time.Time `json:"last"`
	Noticed  time.Time `json:"noticed"`
	Why      string    `json:"why"`
	Replaced bool      `json:"replaced,omitempty"`
}

// Base is a snapshot in the journal.
type Base struct {
	File     string    `json:"file"`
	Timeline uint32    `json:"timeline"`
	Offset   int64     `json:"offset"`
	Size     int64     `json:"size"`
	Time     time.Time `json:"time"`
}
