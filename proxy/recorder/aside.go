package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"holdfast/journal"
)

// A damaged journal is never written to. If the journal is required, the proxy does not start.
// Otherwise its folder is moved aside and a new journal begins: new writes are recorded, and the
// old ones can be restored from the other folder, which stays unchanged.

// asideShown is how long a folder moved aside degrades readiness.
const asideShown = 24 * time.Hour

// openOrMove opens the journal, or a new one in the place of a damaged one.
func (r *Recorder) openOrMove(o Options) error {
	err := r.open(o)
	var damage *journal.DamageError
	switch {
	case err == nil:
		r.recallAside()
		return nil
	case !errors.As(err, &damage):
		return err
	case o.Required:
		return fmt.Errorf("%w; it is required (journal.required), so the proxy does not begin another "+
			"by itself: move the folder aside (mv %s %[2]s.damaged) and start again; proxy restore "+
			"--dir %[2]s.damaged still restores what lies before and behind the damage", err, o.Dir)
	}
	now := time.Now()
	to, merr := journal.MoveAside(o.FS, o.Dir, now)
	if merr != nil {
		return errors.Join(err, merr)
	}
	a := &journal.Asided{To: to, Time: now, Why: err.Error()}
	r.aside.Store(a)
	r.log.Error("journal: DAMAGED. Its folder was moved aside and a new journal begins. What was "+
		"recorded until now is restored with --dir and that folder", "folder", to, "error", err)
	if err := r.open(o); err != nil {
		return err
	}
	if err := r.journal.Load().LeaveAsided(*a); err != nil {
		r.log.Warn("journal: a restart will not know that a folder was moved aside", "error", err)
	}
	return nil
}

// recallAside recalls, from the journal, a folder that an earlier process moved aside. If the
// folder is gone the matter is settled.
func (r *Recorder) recallAside() {
	a, ok, err := r.journal.Load().Asided()
	if err != nil {
		r.log.Warn("journal: whether a folder was moved aside lately is unknown", "error", err)
	}
	if ok {
		r.aside.Store(&a)
	}
}

// asideNow is the folder that was moved aside and is still there; nil: none. Moving or deleting it
// settles the matter.
func (r *Recorder) asideNow() *journal.Asided {
	a := r.aside.Load()
	if a == nil {
		return nil
	}
	if _, err := os.Stat(a.To); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return a
}

// movedAside reports the folder moved aside, for readiness.
func (r *Recorder) movedAside() []string {
	a := r.asideNow()
	if a == nil || time.Since(a.Time) > asideShown {
		return nil
	}
	return []string{fmt.Sprintf("journal: the folder was damaged and was moved to %s, where what was "+
		"recorded before %s can be restored from: %s", a.To, a.Time.UTC().Format(time.RFC3339), a.Why)}
}
