package journal

import (
	"net/url"
	"time"

	"holdfast/journal/vfs"
)

// Borrowed is the note in a journal's folder about a replica that is made a replica of this journal for as
// long as it is fed the writes that it lacks. It is written before, and removed once the replica is its own
// primary's again: a process that finds it after a crash gives the replica back.
type Borrowed struct {
	Server  string    `json:"server"`  // its address
	RunID   string    `json:"run_id"`  // of its process
	ReplID  string    `json:"repl_id"` // of its history; with another one it has been promoted meanwhile
	Address string    `json:"address"` // it replicates from there: ours
	Primary string    `json:"primary"` // its own, host:port
	Time    time.Time `json:"time"`
}

const borrowedPrefix = "borrowed-"

func borrowedName(server string) string {
	return borrowedPrefix + url.PathEscape(server) + ".json"
}

// LeaveBorrowed writes the note into a folder. A nil disk is the machine's.
func LeaveBorrowed(disk vfs.FS, dir string, b Borrowed) error {
	return leaveFile(vfs.OrOS(disk), dir, borrowedName(b.Server), b)
}

// BorrowedIn reads all such notes of a folder. An unreadable one is skipped.
func BorrowedIn(disk vfs.FS, dir string) ([]Borrowed, error) {
	return notesIn(disk, dir, borrowedPrefix, func(b *Borrowed) string { return borrowedName(b.Server) })
}

// ForgetBorrowed removes the note about a server: it is given back.
func ForgetBorrowed(disk vfs.FS, dir, server string) error {
	return forgetNote(disk, dir, borrowedName(server))
}
