package admin

import (
	"context"
	"fmt"
	"strconv"
)

func showJournal(ctx context.Context, c *client, args []string) (reply, error) {
	j, err := c.server.backend.Journal(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, j, journalLines)
}

func journalLines(j *Journal) []string {
	var p pairs
	p.add("folder", "%s, state %s", Clean(j.Dir), j.State)
	if j.Error != "" {
		p.add("failed", "%s", Clean(j.Error))
	}
	if j.DiskErrors > 0 {
		p.add("disk errors", "%d, the first: %s", j.DiskErrors, Clean(j.FirstError))
	}
	if j.Reopens > 0 {
		p.add("reopened", "%d times, after it had failed", j.Reopens)
	}
	if a := j.Aside; a != nil {
		p.add("moved aside", "at %s, a damaged folder, now %s: %s", moment(a.Time), Clean(a.Dir), Clean(a.Why))
	}
	p.add("server", "%s, %s for %s, %s", j.Server, j.Attached, Duration(j.Since), restorable(j))
	if j.LastError != "" {
		p.add("last error", "%s", Clean(j.LastError))
	}
	p.add("position", "timeline %d, offset %d durable, %d received (%d behind)", j.Timeline,
		j.Durable, j.Received, max(0, j.Received-j.Durable))
	p.add("last byte", "%s ago", Duration(j.Quiet))
	p.add("log", "%d segments, %s; %d bases, %s", j.Segments, size(j.SegmentBytes), j.Bases,
		size(j.BaseBytes))
	if j.BaseError != "" {
		p.add("no base", "since %s, %d attempts: %s%s", cell(moment(j.BaseSince)), j.BaseFailing,
			Clean(j.BaseError), above(j))
	}
	p.add("restorable", "since %s", cell(moment(j.Oldest)))
	p.add("fsyncs", "%d, mean %s, last %s, slowest %s; %s of stream in %d batches", j.Fsyncs,
		Duration(j.FsyncMean), Duration(j.FsyncLast), Duration(j.FsyncMax), size(j.StreamBytes),
		j.Batches)
	p.add("rate", "%s/s%s", size(j.Rate), backlog(j))
	p.add("disk", "%.1f %% taken, %s free%s", j.DiskPercent, size(j.DiskFree), toFull(j))
	p.add("missing", "%d gaps", j.Gaps)
	p.add("incidents", "%d lost tails, %d histories replaced", j.Incidents, j.Replaced)
	p.add("so far", "%d attempts to attach, %d continued, %d full resyncs; %d bases taken, "+
		"%d failed", j.Attempts, j.Continues, j.FullResyncs, j.BasesTaken, j.BasesFailed)
	return p.lines()
}

func restorable(j *Journal) string {
	switch {
	case j.Restorable:
		return "the present can be restored"
	case j.BaseRunning:
		return "a base is being taken"
	}
	return "no base leads to the present"
}

// above describes the bytes kept beyond the limit, for lack of a fresh base.
func above(j *Journal) string {
	if j.Over == 0 {
		return ""
	}
	return fmt.Sprintf("; %s above retention.bytes", size(j.Over))
}

func backlog(j *Journal) string {
	if j.BacklogSize == 0 {
		return ""
	}
	text := "; the server's backlog is " + size(j.BacklogSize).String()
	if j.BacklogTime > 0 {
		text += ", " + Duration(j.BacklogTime) + " at the highest rate seen"
	}
	return text
}

func toFull(j *Journal) string {
	if j.TimeToFull <= 0 {
		return ""
	}
	return "; full in " + Duration(j.TimeToFull) + " at this rate"
}

func showTimelines(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Timelines(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), timelineLines)
}

func timelineLines(list []Timeline) []string {
	if len(list) == 0 {
		return []string{"no timelines: the journal never met its server"}
	}
	t := table{head: []string{"TIMELINE", "REPLICATION-ID", "FROM", "TO", "PARENT", "FORK",
		"OPENED", "LAST", "WHY"}}
	for i := range list {
		l := &list[i]
		fork := ""
		if l.Parent != 0 {
			fork = strconv.FormatInt(l.Fork, 10)
		}
		t.row(l.ID, l.ReplID, l.Start, l.End, ref(l.Parent), fork, moment(l.Opened),
			moment(l.Last), l.Why)
	}
	return t.lines()
}

func showIncidents(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Incidents(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), incidentLines)
}

func incidentLines(list []Incident) []string {
	if len(list) == 0 {
		return []string{"no incidents"}
	}
	t := table{head: []string{"INCIDENT", "TIMELINE", "STATE", "FROM", "TO", "COMMANDS", "KEYS", "FIRST", "LAST",
		"NOTICED", "WHY", "RUN"}}
	for i := range list {
		l := &list[i]
		t.row(l.N, l.Timeline, l.State, l.From, l.To, l.commands(), known(l.Keys), moment(l.First),
			moment(l.Last), moment(l.Noticed), l.Why, l.Run)
	}
	return t.lines()
}

// commands describes the number of lost commands, with the maximum if that differs.
func (i *Incident) commands() string {
	if i.Most > i.Commands && i.Commands >= 0 {
		return fmt.Sprintf("%d to %d", i.Commands, i.Most)
	}
	return known(i.Commands)
}

func known(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

func showEvents(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Events(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), eventLines)
}

func eventLines(list []Event) []string {
	if len(list) == 0 {
		return []string{"no events: nothing was flushed or swapped, or deleted in numbers"}
	}
	t := table{head: []string{"EVENT", "TIMELINE", "FIRST", "LAST", "WHAT", "BEFORE", "AFTER", "RUN"}}
	for i := range list {
		e := &list[i]
		what := e.What
		if e.Open {
			what += " (so far)"
		}
		t.row(e.N, e.Timeline, moment(e.First), moment(e.Last), what, e.Before, e.After, e.Run)
	}
	return t.lines()
}
