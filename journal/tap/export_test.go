package tap

import (
	"errors"
	"strings"
)

// ForkPauses is the pauses after so many snapshots that failed in a row. An attempt that ended
// otherwise begins them again.
func ForkPauses(n int) string {
	var f forks
	f.after(&snapshotFailed{errors.New("before")})
	if f.after(errors.New("the connection broke")) != 0 {
		return "a pause after another error"
	}
	var out []string
	for range n {
		out = append(out, f.after(&snapshotFailed{errors.New("again")}).String())
	}
	return strings.Join(out, " ")
}

// BaseDue is baseDue.
func (t *Tap) BaseDue() bool { return t.baseDue() }
