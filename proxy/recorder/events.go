package recorder

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/journal/event"
	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// eventLog logs destroyed data at once, with the command that restores it.
type eventLog struct {
	log   *slog.Logger
	dir   string // the journal's
	kinds [len(telemetry.EventKinds)]atomic.Int64
	last  [len(telemetry.EventKinds)]atomic.Int64 // number of the newest event
}

// lately is the age up to which an event is news: an older one was found by reading earlier
// records.
const lately = 10 * time.Minute

// tell is the journal's OnEvent.
func (l *eventLog) tell(e event.Event) {
	attrs := []any{"event", e.N, "what", e.Text(), "timeline", e.Timeline, "from", e.From, "to", e.To,
		"first", e.First, "last", e.Last, "keys_before", e.Before.String(), "keys_after",
		e.After.String(), "restore", admin.RestoreCommand(l.dir, e.N, 0)}
	switch {
	case time.Since(e.Last) > lately:
		l.log.Info("journal: an earlier event was found", attrs...)
	case e.Open:
		kind := eventKind(&e)
		l.last[kind].Store(int64(e.N))
		l.kinds[kind].Add(1)
		l.log.Warn("journal: data is being destroyed", attrs...)
	default:
		l.log.Warn("journal: data was destroyed", attrs...)
	}
}

// counts gives the number of events begun since the start, and that of the newest one, by kind.
func (l *eventLog) counts() (n, last [len(telemetry.EventKinds)]int64) {
	for i := range l.kinds {
		n[i], last[i] = l.kinds[i].Load(), l.last[i].Load()
	}
	return n, last
}

// eventKind is the index of an event's kind in telemetry.EventKinds.
func eventKind(e *event.Event) int {
	for _, k := range e.What {
		if k.Keys == 0 && len(k.Trash) == 0 {
			return telemetry.EventFlush
		}
	}
	switch {
	case e.Deletes():
		return telemetry.EventDeletes
	case e.Commands():
		return telemetry.EventTrash
	}
	return telemetry.EventExpired
}

// Events implements admin.JournalBackend.
func (c Console) Events(context.Context) ([]admin.Event, error) {
	r := c.recorder
	if r == nil {
		return nil, admin.ErrNoJournal
	}
	var out []admin.Event
	for _, e := range r.journal.Load().Events() {
		out = append(out, admin.Event{N: e.N, Timeline: e.Timeline, From: e.From, To: e.To,
			First: e.First, Last: e.Last, What: e.Text(), Before: e.Before.String(),
			After: e.After.String(), Open: e.Open, Expired: !e.Commands(), Run: admin.RestoreCommand(r.events.dir, e.N, 0)})
	}
	return out, nil
}
