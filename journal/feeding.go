package journal

import (
	"fmt"
	"time"

	"holdfast/journal/vfs"
)

// Feeding is the note that a repair leaves in a journal's folder before it makes the server a
// replica of itself to feed it the lost commands. It stays until the incident is closed: a server
// whose repair was killed gets its role back, and the next repair knows which commands the server
// has been fed.
type Feeding struct {
	N        int        `json:"n"` // the incident, with its timeline and moment
	Timeline TimelineID `json:"timeline"`
	Noticed  time.Time  `json:"noticed"`
	Server   string     `json:"server,omitempty"` // its address; "", in older folders: that of the recorded one
	RunID    string     `json:"run_id"`           // of the server process
	Address  string     `json:"address"`          // the server replicates from it; "": its role is restored
	Parts    []FedPart  `json:"parts,omitempty"`
	// Diverged: the server answered some of it with an error, or may have, so its data differs from the
	// feed.
	Diverged bool `json:"diverged,omitempty"`
}

// FedPart is the place where a feed began. Its progress is in the server's own stream: it follows At in
// the history ReplID, which ends where the server becomes a primary again.
type FedPart struct {
	ReplID     string `json:"repl_id"`    // of the server's history
	At         int64  `json:"at"`         // offset there
	From       int64  `json:"from"`       // offset of the lost history
	Rejected   int64  `json:"rejected"`   // the server's unexpected_error_replies before
	Understood bool   `json:"understood"` // there were no more of them afterwards
}

const feedingPrefix = "feeding-"

func feedingName(n int) string { return fmt.Sprintf("%s%d.json", feedingPrefix, n) }

// Of reports whether the note is about an incident.
func (f *Feeding) Of(i *Incident) bool {
	return f.N == i.N && f.Timeline == i.Timeline && f.Noticed.Equal(i.Time)
}

// LeaveFeeding writes the note into a folder, replacing the last one about the incident. A nil disk
// is the machine's.
func LeaveFeeding(disk vfs.FS, dir string, f Feeding) error {
	return leaveFile(vfs.OrOS(disk), dir, feedingName(f.N), f)
}

// Feedings reads all notes of a folder. An unreadable one is skipped.
func Feedings(disk vfs.FS, dir string) ([]Feeding, error) {
	return notesIn(disk, dir, feedingPrefix, func(f *Feeding) string { return feedingName(f.N) })
}

// ForgetFeeding removes the note about an incident, if there is one: it is closed.
func ForgetFeeding(disk vfs.FS, dir string, n int) error {
	return forgetNote(disk, dir, feedingName(n))
}
