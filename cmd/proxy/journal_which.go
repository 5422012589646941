package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"holdfast/journal/replay"
)

const aboutJournalWhich = `Says where backup files (RDB) stand in a journal: which of them is newest, whether
it lies on the present history or on a branch that was lost, and what each one lacks. For the day
when the backups of a primary and of a replica disagree.`

// A backupView is a backup file in JSON.
type backupView struct {
	Path      string     `json:"path"`
	Newest    bool       `json:"newest"`
	OnHistory bool       `json:"on_history"` // the present history contains it
	Timeline  uint32     `json:"timeline"`   // 0: unknown
	ReplID    string     `json:"replid,omitempty"`
	Offset    int64      `json:"offset"` // -1: it does not say
	Created   *time.Time `json:"created"`
	Server    string     `json:"server,omitempty"`
	LacksFrom *time.Time `json:"lacks_from"` // when the first command that it lacks had arrived
	Lacks     int64      `json:"lacks"`      // bytes of stream
	Commands  int64      `json:"commands"`   // that change data, among them; -1: not counted
	Note      string     `json:"note,omitempty"`
	Error     string     `json:"error,omitempty"`
}

func viewBackup(p *replay.Placement) backupView {
	v := backupView{Path: p.Path, Newest: p.Newest, OnHistory: p.OnLine, Timeline: uint32(p.Timeline),
		Offset: -1, Lacks: p.Lacks, Commands: p.Commands, Note: p.Note}
	if p.Err != nil {
		v.Error = p.Err.Error()
		return v
	}
	h := p.Header
	v.ReplID, v.Offset, v.Server = h.ReplID, h.Offset, h.Server
	if !h.Created.IsZero() {
		v.Created = &h.Created
	}
	if !p.Since.IsZero() {
		v.LacksFrom = &p.Since
	}
	return v
}

// journalWhich is the subcommand journal which.
func journalWhich(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal which", aboutJournalWhich)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "Usage: proxy journal which [flags] BACKUP.rdb...\n\n%s\n\nFlags:\n",
			aboutJournalWhich)
		printFlags(f)
	}
	which := addJournal(f)
	asJSON := f.Bool("json", false, "print JSON")
	files, err := c.parseFiles(f, args)
	if err != nil {
		return err
	}
	view, _, err := which.open()
	if err != nil {
		return err
	}
	placed, err := replay.Which(ctx, view, nil, files)
	if err != nil {
		return err
	}
	views, failed := make([]backupView, len(placed)), false
	for i := range placed {
		views[i] = viewBackup(&placed[i])
		failed = failed || placed[i].Err != nil
	}
	if *asJSON {
		err = writeJSON(c.stdout, views)
	} else {
		err = printBackups(c.stdout, views)
	}
	if err == nil && failed {
		return errReported
	}
	return err
}

func printBackups(w io.Writer, list []backupView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tFILE\tTIMELINE\tOFFSET\tCREATED\tLACKS\tSINCE\tNOTE")
	for i := range list {
		v := &list[i]
		mark, timeline, lacks, note := " ", "-", "-", v.Note
		if v.Newest {
			mark, note = "*", "newest "+note
		}
		if v.Error != "" {
			fmt.Fprintf(t, "!\t%s\t-\t-\t-\t-\t-\t%s\n", v.Path, v.Error)
			continue
		}
		if v.Timeline != 0 {
			timeline = fmt.Sprint(v.Timeline)
			lacks = fmt.Sprintf("%d commands, %s", v.Commands, bytesText(v.Lacks))
		}
		if v.Timeline != 0 && v.Commands < 0 {
			lacks = bytesText(v.Lacks)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", mark, v.Path, timeline, v.Offset,
			optional(v.Created), lacks, optional(v.LacksFrom), note)
	}
	return t.Flush()
}

func optional(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}
