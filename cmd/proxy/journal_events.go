package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast/journal"
	"holdfast/journal/event"
	"holdfast/journal/replay"
	"holdfast/proxy/admin"
)

const aboutJournalEvents = `Lists what destroyed data: flushes, swaps of databases, what the trash moved
aside in their place (by the name of the client's command), and 10,000 deleted keys within 10
seconds. Commands of that kind that follow each other within 5 seconds are one event. The last
column is the command that restores the moment before.`

// An eventView is an event in JSON.
type eventView struct {
	event.Event
	Text    string `json:"text"`
	Restore string `json:"restore"` // the command; empty: no base leads there any more
}

// journalEvents is the subcommand journal events.
func journalEvents(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal events", aboutJournalEvents)
	which := addJournal(f)
	since := f.String("since", "", "only what ended at or after a `TIME`, or so long ago: 2h, "+
		"14:03:05,\n2026-03-01T14:03:05.5Z")
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	from, err := parseSince(*since, time.Now())
	if err != nil {
		return err
	}
	view, dir, err := which.open(c)
	if err != nil {
		return err
	}
	events, err := findEvents(ctx, view, newProgress(c.stderr))
	if err != nil {
		return err
	}
	list := []eventView{}
	for _, e := range events {
		if e.Last.Before(from) {
			continue
		}
		list = append(list, eventView{Event: e, Text: e.Text(), Restore: restoreCommand(view, dir, &e)})
	}
	if *asJSON {
		return writeJSON(c.stdout, list)
	}
	return printEvents(c.stdout, list)
}

// parseSince reads TIME or a duration. The error is one of usage.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(strings.TrimSpace(text)); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	at, err := parsePlace(text, now)
	if err == nil && at.given && at.time.IsZero() {
		err = fmt.Errorf("%q is no time", text)
	}
	if err != nil {
		return time.Time{}, usagef("--since: %w", err)
	}
	return at.time, nil
}

// findEvents returns all events of a journal, and reports its progress.
func findEvents(ctx context.Context, view *journal.View, shown *progress) ([]event.Event, error) {
	events, err := view.Events(ctx, func(done, total int64) {
		shown.say("looking for events: %s of %s", bytesText(done), bytesText(total))
	})
	shown.done()
	return events, err
}

// restoreCommand is the command that goes back to before an event; "" where no base leads there any
// more.
func restoreCommand(view *journal.View, dir string, e *event.Event) string {
	present, err := replay.Way(view, e)
	if err != nil {
		return ""
	}
	timeline := 0
	if !present {
		timeline = int(e.Timeline)
	}
	return admin.RestoreCommand(dir, e.N, timeline)
}

func printEvents(w io.Writer, list []eventView) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no events")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EVENT\tFROM\tTO\tWHAT\tKEYS BEFORE\tKEYS AFTER\tTO RESTORE THE MOMENT BEFORE")
	for i := range list {
		e := &list[i]
		what := e.Text
		if e.Open {
			what += " (so far)"
		}
		way := e.Restore
		if way == "" {
			way = "no base leads there any more"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.N, clock(e.First), clock(e.Last), what,
			e.Before, e.After, way)
	}
	return t.Flush()
}
