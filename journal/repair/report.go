package repair

import (
	"errors"
	"fmt"
	"path/filepath"

	"holdfast/journal"
	"holdfast/journal/quantity"
	"holdfast/journal/vfs"
)

// Lines words the outcome of a repair.
func (r *Report) Lines() []string {
	if r.Whole {
		return []string{fmt.Sprintf("the server was fed the %s that it had lost, before any client wrote: "+
			"it got back exactly what it held", quantity.Of(r.Fed, "command"))}
	}
	would, be := "", ""
	if r.DryRun {
		would, be = "would be ", " (dry run: nothing was written)"
	}
	out := []string{fmt.Sprintf("%s %s touched by the lost history: %s, %d %sput back, %d %sremoved%s",
		quantity.Of(r.Touched, "key"), quantity.Either(r.Touched, "was", "were"),
		several(r.Same, "is as it left it", "are as it left them"), r.Restored, would, r.Deleted, would, be)}
	add := func(n int64, one, many string) {
		if n > 0 {
			out = append(out, several(n, one, many))
		}
	}
	if r.DryRun && r.Fed > 0 {
		out = append(out, fmt.Sprintf("nothing was written since: the server would be fed the %s that it lost, and "+
			"no key written by itself", quantity.Of(r.Fed, "command")))
	}
	add(r.Ours, "was changed on the server only, and stays", "were changed on the server only, and stay")
	add(r.Settled, "was put back by a repair before, and is left alone",
		"were put back by a repair before, and are left alone")
	if r.Conflicts > 0 {
		out = append(out, quantity.Of(r.Conflicts, "conflict")+": changed by both"+r.resolved())
	}
	if !r.DryRun {
		add(r.Verified, "was read again, and is right", "were read again, and are right")
		add(r.Later, "was put back and has been written by clients since",
			"were put back and have been written by clients since")
	}
	add(r.Failed, "could not be compared, written or verified: it is named above",
		"could not be compared, written or verified: they are named above")
	add(r.Libraries, "library of functions "+would+"put back, or deleted",
		"libraries of functions "+would+"put back, or deleted")
	if r.Functions {
		out = append(out, "libraries of functions differ again: a client has loaded one meanwhile; repair once more")
	}
	switch {
	case r.Verdict != "":
		out = append(out, fmt.Sprintf("the verdict is: %s", r.Verdict))
	case r.Incident.Verdict == journal.InQuestion && r.DryRun:
		out = append(out, fmt.Sprintf("the loss stays in question, for %s: a repair puts back the %d "+
			"that are as they were before, and --conflicts decides about the others",
			quantity.Of(r.Restored+r.Deleted+r.Conflicts+r.Failed, "key"), r.Restored+r.Deleted))
	}
	if r.Incomplete != "" {
		out = append(out, "the writes on the server since are not known to their end ("+r.Incomplete+
			"): a key was put back only where it had the value of before")
	}
	return out
}

// several says of a number of things what is true of one, or of several.
func several(n int64, one, many string) string {
	return fmt.Sprintf("%d %s", n, quantity.Either(n, one, many))
}

// resolved says what becomes of conflicts.
func (r *Report) resolved() string {
	switch {
	case r.Mode == Replace.String() && !r.DryRun:
		return "; " + several(r.Replaced, "was", "were") + " made what the lost history had"
	case r.Mode == Replace.String():
		return "; the server would get what the lost history had"
	case r.Mode == Skip.String():
		return "; the server's values stay"
	}
	return ", and left as they are: --conflicts skip keeps the server's values, --conflicts replace takes those of the " +
		"lost history"
}

// rule determines the verdict. Keys that the lost branch touched and that equal its end, or were
// changed on the server alone, are not lost; a key in its state of before is lost unless a recorded
// or unrecorded write explains that.
func (r *Report) rule(complete bool) {
	if r.Incident.Verdict != journal.InQuestion || r.Failed > 0 || r.Functions {
		return
	}
	gone := r.Restored + r.Deleted + r.Libraries
	switch {
	case gone > 0 && complete:
		r.Verdict = journal.Lost
		r.Why = fmt.Sprintf("of the %s that the commands from offset %d to %d touched, %d %s not as those "+
			"left them, and no client has written these since: compared with a scratch server at offset %d",
			quantity.Of(r.Touched, "key"), r.Incident.From, r.Incident.To, gone, quantity.Either(gone, "was", "were"),
			r.Incident.To)
	case gone == 0 && r.Conflicts == 0 && r.Settled == 0:
		r.Verdict = journal.NothingLost
		r.Why = fmt.Sprintf("each of the %s that the commands from offset %d to %d touched is as those left "+
			"it, or was changed on the server alone: compared with a scratch server at offset %d", quantity.Of(r.Touched, "key"),
			r.Incident.From, r.Incident.To, r.Incident.To)
	}
}

// Settlement is the report's part for the journal.
func (r *Report) Settlement() journal.Settlement {
	s := journal.Settlement{Verdict: r.Verdict, Why: r.Why}
	switch {
	case r.Verdict == journal.Lost && r.Done():
		s.Keys, s.How = r.Restored+r.Deleted, r.how()
	case r.Verdict == journal.Lost:
		s.Keys = r.Restored + r.Deleted
	case r.Verdict == journal.NothingLost:
		s.How = "proven"
	case r.Done():
		s.How = r.how()
	}
	return s
}

// how words the reason for closing the incident.
func (r *Report) how() string {
	if r.Whole {
		return fmt.Sprintf("repaired: fed the %s that %s lost", quantity.Of(r.Fed, "command"),
			quantity.Either(r.Fed, "was", "were"))
	}
	text := fmt.Sprintf("repaired: %d put back, %d removed", r.Restored+r.Replaced, r.Deleted)
	if r.Conflicts > r.Replaced {
		text += ", " + quantity.Of(r.Conflicts-r.Replaced, "conflict") + " skipped"
	}
	return text
}

// ErrRunning means that another repair with this journal is running.
var ErrRunning = errors.New("another repair is running")

// Lock excludes other repairs with a journal's folder until unlock is called, or the process ends.
// A nil disk is the machine's.
func Lock(disk vfs.FS, dir string) (unlock func(), err error) {
	disk = vfs.OrOS(disk)
	lock, err := disk.Lock(filepath.Join(dir, "repair.lock"), "a repair")
	if errors.Is(err, journal.ErrLocked) {
		return nil, fmt.Errorf("%w: %w", ErrRunning, err)
	}
	if err != nil {
		return nil, err
	}
	return func() { lock.Close() }, nil
}
