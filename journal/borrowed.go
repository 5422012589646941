package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
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
func BorrowedIn(disk vfs.FS, dir string) (out []Borrowed, err error) {
	disk = vfs.OrOS(disk)
	names, err := disk.List(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	for _, name := range names {
		var b Borrowed
		if !strings.HasPrefix(name, borrowedPrefix) || strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		ok, err := readFile(disk, dir, name, &b)
		if err != nil {
			return nil, err
		}
		if ok && borrowedName(b.Server) == name {
			out = append(out, b)
		}
	}
	return out, nil
}

// ForgetBorrowed removes the note about a server: it is given back.
func ForgetBorrowed(disk vfs.FS, dir, server string) error {
	disk = vfs.OrOS(disk)
	err := disk.Remove(filepath.Join(dir, borrowedName(server)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
