package recorder

import (
	"context"
	"slices"
	"time"

	"holdfast/journal"
	"holdfast/journal/ctxtime"
)

// As soon as the journal follows a server, it is known whether bases and retention fit on the disk,
// and the largest values into the server's buffer for a replica. proxy check tests the same before
// a start.

const (
	roomFirst = time.Second // until the server's figures are known
	roomEvery = time.Minute
)

// roomFindings lists the present shortages; nil until the server's figures are known.
func (r *Recorder) roomFindings() []journal.RoomFinding {
	st := r.tap.Load().Stats()
	if st.Dataset == 0 {
		return nil
	}
	room, err := r.journal.Load().RoomOnDisk()
	if err != nil {
		return nil // the journal's keeper logs it
	}
	room.Dataset, room.Buffer, room.Largest = st.Dataset, st.Buffer, r.options().Largest
	return room.Findings()
}

// roomTroubles reports, for readiness, that a base may not fit.
func (r *Recorder) roomTroubles() (out []string) {
	for _, f := range r.roomFindings() {
		if f.NoBase {
			out = append(out, "journal: "+f.Text)
		}
	}
	return out
}

// logRoom logs shortages until the context ends, and repeats none until their kinds change. Joined
// by Recorder.run.
func (r *Recorder) logRoom(ctx context.Context) {
	var said []string
	for wait := roomFirst; ctxtime.Sleep(ctx, wait) == nil; {
		if r.tap.Load().Stats().Dataset != 0 {
			wait = roomEvery
		}
		var now []string
		for _, f := range r.roomFindings() {
			now = append(now, f.Kind)
			if !slices.Contains(said, f.Kind) {
				r.log.Warn("journal: " + f.Text)
			}
		}
		said = now
	}
}
