package journal

import (
	"fmt"
	"time"

	"holdfast/journal/vfs"
)

// Restored is a restore's note in the folder that it has rebuilt the very server that the journal
// records: the end of that server's old history was dropped on purpose. It is a file of its own,
// for a restore does not hold the lock.
type Restored struct {
	RunID  string    `json:"run_id"` // of the server process
	Offset int64     `json:"offset"` // the point
	Time   time.Time `json:"time"`
}

const restoredName = "restored.json"

// LeaveRestored writes the note into a folder, replacing the last one. A nil disk is the machine's.
func LeaveRestored(disk vfs.FS, dir string, r Restored) error {
	return leaveFile(vfs.OrOS(disk), dir, restoredName, r)
}

// Restored reads the note; ok is false if there is none. An unreadable one counts as none: its
// incident stays open.
func (j *Journal) Restored() (r Restored, ok bool, err error) {
	ok, err = readFile(j.fs(), j.opts.Dir, restoredName, &r)
	if !ok || r.RunID == "" {
		return Restored{}, false, err
	}
	return r, true, nil
}

// ForgetRestored removes the note once it has been applied.
func (j *Journal) ForgetRestored() error {
	if err := j.fs().Remove(j.path(restoredName)); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return j.fs().SyncDir(j.opts.Dir)
}
