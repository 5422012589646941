package journal

import (
	"time"
)

// Asided is a new journal's note of the damaged one that it replaces, so that a restart of the
// proxy does not forget it.
type Asided struct {
	To   string    `json:"to"` // where the damaged folder is now
	Time time.Time `json:"time"`
	Why  string    `json:"why"`
}

const asidedName = "aside.json"

// LeaveAsided writes the note, replacing the last one.
func (j *Journal) LeaveAsided(a Asided) error {
	return leaveFile(j.fs(), j.opts.Dir, asidedName, a)
}

// Asided reads the note; ok is false if there is none.
func (j *Journal) Asided() (a Asided, ok bool, err error) {
	ok, err = readFile(j.fs(), j.opts.Dir, asidedName, &a)
	return a, ok && a.To != "", err
}
