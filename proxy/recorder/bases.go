package recorder

import (
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
)

// baseTroubles reports, for readiness, that fresh bases fail: restores take ever longer, and the
// segments up to the present grow beyond journal.retention. An older base still leads to the
// present, so the proxy is degraded and not unready.
func (r *Recorder) baseTroubles() []string {
	return describeBases(r.tap.Load().Stats(), r.journal.Load().Stats())
}

func describeBases(t tap.Stats, j journal.Stats) []string {
	if t.BaseErr == nil {
		return nil
	}
	text := fmt.Sprintf("journal: no fresh base since %s (%d attempts): %v",
		t.BaseSince.UTC().Format(time.RFC3339), t.BaseFailing, t.BaseErr)
	if j.Over > 0 {
		text += fmt.Sprintf("; %d bytes above retention.bytes are kept, for without them the present "+
			"cannot be restored", j.Over)
	}
	return []string{text}
}
