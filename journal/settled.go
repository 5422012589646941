package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"holdfast/journal/vfs"
)

// Settlement is a repair's finding about an incident, and its outcome.
type Settlement struct {
	How string `json:"how,omitempty"` // why it was closed; "": it stays open
	// Verdict is the proven one where the incident was in question; "": no proof. Why is the proof,
	// and Keys is the number of lost keys, for Lost.
	Verdict Verdict `json:"verdict,omitempty"`
	Why     string  `json:"why,omitempty"`
	Keys    int64   `json:"keys,omitempty"`
}

// word is a repair's note in the folder of a journal that another process writes. Each incident has
// a file of its own.
type word struct {
	N        int        `json:"n"` // the incident, with its timeline and moment
	Timeline TimelineID `json:"timeline"`
	Noticed  time.Time  `json:"noticed"`
	Settlement
}

func wordName(n int) string { return fmt.Sprintf("repaired-%d.json", n) }

// LeaveWord writes the note into a folder, for Heed. A nil disk is the machine's.
func LeaveWord(disk vfs.FS, dir string, i Incident, s Settlement) error {
	return leaveFile(vfs.OrOS(disk), dir, wordName(i.N), word{i.N, i.Timeline, i.Time, s})
}

// Settle records a settlement of an incident. It is durable when this returns.
func (j *Journal) Settle(ctx context.Context, i Incident, s Settlement) error {
	if i.Verdict == InQuestion && s.Verdict != "" {
		i.Verdict, i.Why = s.Verdict, s.Why
		i.Hold = s.Verdict == Lost
		i.Commands = 0
		if s.Verdict == Lost { // the lost commands are unknown
			i.Commands, i.Keys = -1, s.Keys
		}
	}
	if s.How != "" {
		i.Closed, i.How = j.opts.Now(), s.How
	}
	return j.recordIncident(ctx, i, func() error { return nil })
}

// Heed settles the open incidents about which a repair has left its note, and removes the note. One
// that is unreadable, or about another incident, settles nothing.
func (j *Journal) Heed(ctx context.Context) error {
	for _, i := range j.Incidents() {
		if !i.Open() {
			continue
		}
		name := wordName(i.N)
		if _, err := j.fs().Stat(j.path(name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var w word
		ok, err := readFile(j.fs(), j.opts.Dir, name, &w)
		if err != nil {
			return err
		}
		if ok && w.N == i.N && w.Timeline == i.Timeline && w.Noticed.Equal(i.Time) {
			if err := j.Settle(ctx, i, w.Settlement); err != nil {
				return err
			}
		}
		if err := j.fs().Remove(j.path(name)); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if err := j.fs().SyncDir(j.opts.Dir); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	return nil
}
