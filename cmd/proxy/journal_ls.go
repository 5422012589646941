package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast/journal"
)

const aboutJournalList = `Lists what a journal holds. A moment can be restored if a base and everything
between it and the moment is there.`

// A journalView is a journal's contents, in JSON.
type journalView struct {
	Dir       string             `json:"dir"`
	First     time.Time          `json:"first"` // of the stream's first byte in the journal
	Last      time.Time          `json:"last"`
	Timelines []journal.Timeline `json:"timelines"`
	Bases     []journal.Base     `json:"bases"`
	Segments  []segmentView      `json:"segments"`
	Gaps      []journal.Gap      `json:"gaps"`
	Incidents []journal.Incident `json:"incidents"`
	Damages   []problemView      `json:"damages"`
}

type segmentView struct {
	Seq    uint64          `json:"seq"`
	File   string          `json:"file"`
	Bytes  int64           `json:"bytes"`
	State  string          `json:"state"` // "sealed", "live", "suspect", "unsealed", "damaged"
	Ranges []journal.Range `json:"ranges"`
	First  time.Time       `json:"first"`
	Last   time.Time       `json:"last"`
}

func viewSegments(list []journal.Segment) []segmentView {
	out := make([]segmentView, len(list))
	for i, s := range list {
		state := "unsealed"
		switch {
		case s.Damaged:
			state = "damaged"
		case s.Suspect:
			state = "suspect"
		case s.Live:
			state = "live"
		case s.Sealed:
			state = "sealed"
		}
		out[i] = segmentView{Seq: s.Seq, File: s.File, Bytes: s.Bytes, State: state,
			Ranges: s.Ranges, First: s.FirstTime, Last: s.LastTime}
	}
	return out
}

// journalList is the subcommand journal ls.
func journalList(_ context.Context, c *command, args []string) error {
	f := c.flags("journal ls", aboutJournalList)
	which := addJournal(f)
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	view, dir, err := which.open(c)
	if err != nil {
		return err
	}
	v := journalView{Dir: dir, Timelines: view.Timelines(), Bases: orEmpty(view.Bases()),
		Segments: viewSegments(view.Segments()), Gaps: orEmpty(view.Gaps()),
		Incidents: orEmpty(view.Incidents())}
	v.Damages = viewDamages(view)
	v.First, v.Last = view.TimeRange()
	if *asJSON {
		return writeJSON(c.stdout, v)
	}
	return printJournal(c.stdout, &v)
}

func viewDamages(view *journal.View) []problemView {
	out := []problemView{}
	for _, d := range view.Damages() {
		out = append(out, problemView{d.Segment, d.Error()})
	}
	return out
}

// orEmpty turns a nil list into an empty one.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printJournal(w io.Writer, v *journalView) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: from %s to %s\n", v.Dir, clock(v.First), clock(v.Last))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(t, format+"\n", args...) }
	row("\nTIMELINE\tFROM\tTO\tPARENT\tOPENED\tLAST\tREPLICATION ID\tWHY")
	for _, l := range v.Timelines {
		parent := "-"
		if l.Parent != 0 {
			parent = fmt.Sprintf("%d at %d", l.Parent, l.Fork)
		}
		row("%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s", l.ID, l.Start, l.End, parent, clock(l.Opened),
			clock(l.Last), l.ReplID, l.Why)
	}
	row("\nBASE\tTIMELINE\tOFFSET\tTIME\tSIZE")
	for _, s := range v.Bases {
		size := bytesText(s.Size)
		if s.Missing {
			size = "MISSING"
		}
		row("%s\t%d\t%d\t%s\t%s", s.File, s.Timeline, s.Offset, clock(s.Time), size)
	}
	row("\nSEGMENT\tSTATE\tSIZE\tFIRST\tLAST\tTIMELINE: OFFSETS")
	for _, s := range v.Segments {
		var ranges []string
		for _, r := range s.Ranges {
			ranges = append(ranges, fmt.Sprintf("%d: %d-%d", r.Timeline, r.From, r.To))
		}
		row("%s\t%s\t%s\t%s\t%s\t%s", s.File, s.State, bytesText(s.Bytes), clock(s.First),
			clock(s.Last), strings.Join(ranges, ", "))
	}
	printHoles(row, v)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printHoles adds the gaps in the stream and the server's losses.
func printHoles(row func(string, ...any), v *journalView) {
	if len(v.Gaps) > 0 {
		row("\nGAP\tFROM\tTO\tNOTICED\tWHY")
	}
	for _, g := range v.Gaps {
		row("timeline %d\t%d\t%d\t%s\t%s", g.Timeline, g.From, g.To, clock(g.Time), g.Why)
	}
	if len(v.Incidents) > 0 {
		row("\nINCIDENT\tTIMELINE\tSTATE\tFROM\tTO\tCOMMANDS\tKEYS\tFIRST\tLAST\tNOTICED\tWHY")
	}
	for _, i := range v.Incidents {
		row("%d\t%d\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s", i.N, i.Timeline, i.State(), i.From,
			i.To, countText(i.Commands), countText(i.Keys), clock(i.FirstTime), clock(i.LastTime),
			clock(i.Time), i.Why)
	}
}

// countText is a count; -1 is unknown.
func countText(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
