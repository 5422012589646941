package tap

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/journal/internal/wire"
)

// restoredGrace bounds the time from a restore to the discovery of its incident: the tap reconnects
// within its pauses between attempts, and then receives a snapshot.
const restoredGrace = time.Hour

// heed closes the incidents that a restore in place has caused, and those that it has answered: the
// process that the restore rebuilt is still attached, so nothing was lost since.
//
//	restore    promotes the server ─▶ leaves its note
//	tap             loses its link ─────▶ attaches, records the incident ─▶ heeds the note, removes it
//
// The note is good for the link that comes after it, or has outlived it, and for no later one: the
// same process may become a replica, lose the writes since, and be promoted again.
func (m *marker) heed(ctx context.Context) error {
	j := m.t.opts.Journal
	if err := j.Heed(ctx); err != nil {
		return err
	}
	word, ok, err := j.Restored()
	if !ok || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.t.opts.Timeout)
	defer cancel()
	if err := m.connect(ctx); err != nil {
		return err
	}
	v, err := m.conn.Do(ctx, "iNfO", "server")
	if err != nil {
		return refused("INFO", err)
	}
	text, _ := v.(string)
	for _, i := range j.Incidents() {
		meant := i.Open() && i.Time.Before(word.Time.Add(restoredGrace))
		if meant && wire.Fields(text)["run_id"] == word.RunID {
			how := fmt.Sprintf("restored to offset %d", word.Offset)
			if err := m.close(ctx, i, how); err != nil {
				return err
			}
		}
	}
	if link := m.t.Stats().Since; !link.After(word.Time) && time.Since(word.Time) < m.t.opts.Timeout {
		return nil // the promotion may be about to end it
	}
	return j.ForgetRestored()
}

func (m *marker) close(ctx context.Context, i journal.Incident, how string) error {
	m.t.log.Info("journal: an incident is closed", "timeline", i.Timeline, "from", i.From,
		"to", i.To, "how", how)
	return m.t.opts.Journal.CloseIncident(ctx, i, how)
}
