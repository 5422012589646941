package journal

import "time"

// TimelineID numbers the timelines of a journal from 1 in the order of their beginning. 0 is none.
type TimelineID uint32

// Position is a place in a history: everything of Timeline below Offset.
type Position struct {
	Timeline TimelineID
	Offset   int64
}

// Covers reports whether everything below q is below p. Positions on different timelines do not
// cover each other.
func (p Position) Covers(q Position) bool {
	return p.Timeline == q.Timeline && p.Offset >= q.Offset
}

// Timeline is one history.
type Timeline struct {
	ID     TimelineID `json:"id"`
	ReplID string     `json:"replid"`
	Start  int64      `json:"start"` // the first offset received under ReplID
	End    int64      `json:"end"`   // one above the last
	// Parent is the timeline that this one continues: below Fork the history is the parent's. Fork
	// is at most Start; the range between the two is unknown. Parent 0: only a base is known of the
	// stream before Start.
	Parent TimelineID `json:"parent,omitempty"`
	Fork   int64      `json:"fork,omitempty"`
	Why    string     `json:"why,omitempty"`
	// Server is the address of the server that had this history at its beginning; "": an older version wrote it.
	Server string    `json:"server,omitempty"`
	Opened time.Time `json:"opened"`
	Last   time.Time `json:"last"` // arrival of the last byte
	// Counts is the last count of the primary's keys; nil: none.
	Counts *Counts `json:"counts,omitempty"`
	// Trash lists the databases of the proxy's trash at Start, by entry.
	Trash map[int64][]int `json:"trash,omitempty"`
}

// TimelineStart is a caller's description of a timeline that begins.
type TimelineStart struct {
	ReplID string
	Start  int64
	Parent TimelineID // 0: none
	Fork   int64      // with a parent: at most Start, and at most the parent's End
	Why    string
	Server string          // see Timeline
	Trash  map[int64][]int // see Timeline
}

// Gap is a range that the journal never received.
type Gap struct {
	Timeline TimelineID `json:"timeline"`
	From     int64      `json:"from"`
	To       int64      `json:"to"`
	Why      string     `json:"why,omitempty"`
	Time     time.Time  `json:"time"`
	// Trash is that of a Timeline, at To.
	Trash map[int64][]int `json:"trash,omitempty"`
}

// Base is a snapshot: with it and the stream from Offset on, any later moment can be rebuilt.
type Base struct {
	Timeline TimelineID `json:"timeline"`
	Offset   int64      `json:"offset"`
	DB       int        `json:"db"` // selected in the stream at Offset
	Time     time.Time  `json:"time"`
	File     string     `json:"file"` // name in the journal's folder
	Size     int64      `json:"size"` // bytes
	CRC      uint32     `json:"crc"`  // CRC32C of the file
	// Missing says that the file does not exist. Such a base leads nowhere.
	Missing bool `json:"-"`
}

// Range is a piece of a timeline.
type Range struct {
	Timeline TimelineID `json:"timeline"`
	From     int64      `json:"from"`
	To       int64      `json:"to"`
}

// Segment describes a file of the log.
type Segment struct {
	Seq       uint64
	File      string // name in the journal's folder
	Bytes     int64  // up to its end; the file itself may be larger while it is written
	Ranges    []Range
	Created   time.Time
	FirstTime time.Time // of its stream bytes; zero: it has none
	LastTime  time.Time
	Sealed    bool // it ended in good order
	Suspect   bool // it was given up after an error of the disk; Bytes is its good part
	Live      bool // it is the last one, and grows
	Damaged   bool // a part of it cannot be read
}
