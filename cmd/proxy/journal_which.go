package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast/journal/quantity"
	"holdfast/journal/replay"
	"holdfast/proxy/admin"
)

const aboutJournalWhich = `Reads backups to their end and says where they stand in a journal. A backup is an
RDB file, or the folder of an append-only file. The first line is the answer: which backup is
newest, what it lacks, and the command that restores more than any of them. Then, for each: whether
it is what the server wrote (ok, damaged, not checked), and what it lacks of the present history and
of histories that the server has left.`

// A whichView is the outcome of journal which in JSON.
type whichView struct {
	Answer  string       `json:"answer"`
	Newest  string       `json:"newest,omitempty"` // path; empty: none can be used
	Run     string       `json:"run,omitempty"`    // the command that restores the most
	Backups []backupView `json:"backups"`
}

// A backupView is a backup in JSON.
type backupView struct {
	Path      string     `json:"path"`
	Newest    bool       `json:"newest"`
	Condition string     `json:"condition"` // ok, damaged, not checked; empty: it cannot be read
	Why       string     `json:"why,omitempty"`
	OnHistory bool       `json:"on_history"` // the present history contains it
	Timeline  uint32     `json:"timeline"`   // 0: unknown
	ReplID    string     `json:"replid,omitempty"`
	Offset    int64      `json:"offset"` // -1: it does not say
	Created   *time.Time `json:"created"`
	Server    string     `json:"server,omitempty"`
	Keys      int64      `json:"keys"`           // -1: not counted
	Ahead     int64      `json:"ahead"`          // bytes, or commands of an append-only file
	LacksFrom *time.Time `json:"lacks_from"`     // when the first command that it lacks had arrived
	Lacks     int64      `json:"lacks"`          // bytes of the present history's stream
	Commands  int64      `json:"commands"`       // that change data, among those bytes; -1: not counted
	Left      []lackView `json:"left,omitempty"` // its gaps in histories that the server left
	Note      string     `json:"note,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// A lackView is a part of a history that the server has left, in JSON.
type lackView struct {
	Timeline uint32 `json:"timeline"`
	From     int64  `json:"from"`
	To       int64  `json:"to"`
	Commands int64  `json:"commands"` // -1: not counted
}

func viewBackup(p *replay.Placement) backupView {
	v := backupView{Path: p.Path, Newest: p.Newest, Condition: string(p.Condition), Why: p.Why,
		OnHistory: p.OnLine, Timeline: uint32(p.Timeline), ReplID: p.ReplID, Offset: p.Offset,
		Keys: p.Keys, Ahead: p.Ahead, Lacks: p.Lacks, Commands: p.Commands, Note: p.Note}
	if p.Err != nil {
		v.Error = p.Err.Error()
		return v
	}
	if p.Header != nil {
		v.Server = p.Header.Server
	}
	if !p.Created.IsZero() {
		v.Created = &p.Created
	}
	if !p.Since.IsZero() {
		v.LacksFrom = &p.Since
	}
	for _, l := range p.Branches {
		v.Left = append(v.Left, lackView{uint32(l.Timeline), l.From, l.To, l.Commands})
	}
	return v
}

// journalWhich is the subcommand journal which.
func journalWhich(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal which", aboutJournalWhich, "BACKUP...")
	which := addJournal(f)
	asJSON := f.Bool("json", false, "print JSON")
	files, err := c.parseFiles(f, args)
	if err != nil {
		return err
	}
	view, dir, err := which.open(c)
	if err != nil {
		return err
	}
	placed, err := replay.Which(ctx, view, nil, files)
	if err != nil {
		return err
	}
	answer := replay.NewAnswer(view, placed)
	v := whichView{Run: whichCommand(dir, &answer)}
	v.Answer = answerText(&answer, v.Run)
	failed := false
	for i := range placed {
		v.Backups = append(v.Backups, viewBackup(&placed[i]))
		failed = failed || placed[i].Err != nil || placed[i].Condition == replay.Damaged
	}
	if answer.Newest != nil {
		v.Newest = answer.Newest.Path
	}
	if *asJSON {
		err = writeJSON(c.stdout, v)
	} else {
		err = printWhich(c.stdout, &v)
	}
	if err == nil && failed {
		return errReported
	}
	return err
}

// whichCommand is the command that restores the most; empty where a backup alone does.
func whichCommand(dir string, a *replay.Answer) string {
	end := "--end"
	if a.Asks {
		end += " --timeline current"
	}
	switch n := a.Newest; {
	case n != nil && n.Ahead > 0:
		return ""
	case a.Restores:
		return fmt.Sprintf("proxy restore --dir %s %s --target ADDRESS", admin.ShellWord(dir), end)
	case a.Extends:
		return fmt.Sprintf("proxy restore --dir %s --from %s %s --target ADDRESS", admin.ShellWord(dir),
			admin.ShellWord(n.Path), end)
	}
	return ""
}

// answerText is the first line.
func answerText(a *replay.Answer, run string) string {
	n := a.Newest
	var b strings.Builder
	switch {
	case n == nil:
		b.WriteString("no backup is sound and on the present history")
	case n.Ahead > 0 && n.AOF:
		fmt.Fprintf(&b, "newest: %s (%s); it is ahead of the journal by %s: start a server "+
			"from it", n.Path, n.Condition, quantity.Of(n.Ahead, "command"))
	case n.Ahead > 0:
		fmt.Fprintf(&b, "newest: %s (%s); it is ahead of the journal by %s: start a server from it",
			n.Path, n.Condition, bytesText(n.Ahead))
	default:
		fmt.Fprintf(&b, "newest: %s (%s); it lacks %s", n.Path, n.Condition, lackText(n))
	}
	switch {
	case a.Restores && (n == nil || n.Ahead == 0):
		b.WriteString("; the journal has it all: " + run)
	case a.Extends:
		b.WriteString("; the journal continues it to the end: " + run)
	case n == nil || n.Ahead == 0:
		b.WriteString("; the journal does not lead to its end")
	}
	if a.Asks {
		b.WriteString(" (a history that the server has left has more: see SHOW INCIDENTS, or --timeline)")
	}
	return b.String()
}

// lackText describes the stream that a backup lacks.
func lackText(p *replay.Placement) string {
	text := "nothing of the present history"
	switch {
	case p.Commands < 0:
		text = bytesText(p.Lacks) + " of stream"
	case p.Commands > 0:
		text = fmt.Sprintf("%s (%s)", quantity.Of(p.Commands, "command"), bytesText(p.Lacks))
		if !p.Since.IsZero() {
			text += " since " + clock(p.Since)
		}
	}
	for _, l := range p.Branches {
		commands := fmt.Sprint(l.Commands)
		if l.Commands < 0 {
			commands = bytesText(l.To - l.From)
		}
		text += fmt.Sprintf(", and %s of timeline %d, which the server left", commands, l.Timeline)
	}
	return text
}

func printWhich(w io.Writer, v *whichView) error {
	fmt.Fprintf(w, "%s\n\n", v.Answer)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tFILE\tCONDITION\tTIMELINE\tOFFSET\tCREATED\tLACKS\tSINCE\tNOTE")
	for i := range v.Backups {
		printBackup(t, &v.Backups[i])
	}
	return t.Flush()
}

func printBackup(w io.Writer, v *backupView) {
	if v.Error != "" {
		fmt.Fprintf(w, "!\t%s\t-\t-\t-\t-\t-\t-\t%s\n", v.Path, v.Error)
		return
	}
	mark, timeline, offset, lacks := " ", "-", "-", "-"
	var notes []string
	switch {
	case v.Newest:
		mark, notes = "*", append(notes, "newest")
	case v.Condition == string(replay.Damaged):
		mark = "!"
	}
	if v.Offset >= 0 {
		offset = fmt.Sprint(v.Offset)
	}
	if v.Timeline != 0 {
		timeline = fmt.Sprint(v.Timeline)
		lacks = bytesText(v.Lacks)
	}
	if v.Timeline != 0 && v.Commands >= 0 {
		lacks = fmt.Sprintf("%s, %s", quantity.Of(v.Commands, "command"), bytesText(v.Lacks))
	}
	for _, l := range v.Left {
		lacks += fmt.Sprintf(" + %d of timeline %d", l.Commands, l.Timeline)
	}
	for _, text := range []string{v.Why, v.Note} {
		if text != "" {
			notes = append(notes, text)
		}
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", mark, v.Path, v.Condition, timeline,
		offset, optional(v.Created), lacks, optional(v.LacksFrom), strings.Join(notes, "; "))
}

func optional(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}
