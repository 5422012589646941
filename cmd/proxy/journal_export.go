package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/journal/replay"
	"holdfast/proxy/admin"
)

const aboutJournalExport = `Writes the data set at a point as a multi-part append-only file. A server of the
same version or newer starts from it with the command that is printed. The folder must be empty or
new.`

// journalExport is the subcommand journal export.
func journalExport(ctx context.Context, c *command, args []string) error {
	f := c.flags("journal export", aboutJournalExport)
	which, from := addJournal(f), addFrom(f)
	dir := f.String("aof", "", "the `folder` to write")
	point := addPoint(f)
	asJSON := f.Bool("json", false, "print JSON")
	if err := c.parse(f, args); err != nil {
		return err
	}
	sel, err := point.selector(time.Now())
	if err != nil {
		return err
	}
	if *dir == "" {
		return usagef("where to? Give --aof")
	}
	view, _, err := which.open(c)
	if err != nil {
		return err
	}
	if view, err = from.view(ctx, c, view); err != nil {
		return err
	}
	shown := newProgress(c.stderr)
	plan, err := point.plan(ctx, view, sel, shown)
	if err != nil {
		return err
	}
	if !*asJSON {
		printPlan(c.stdout, plan)
	}
	err = replay.Export(ctx, replay.ExportOptions{View: view, Plan: plan, Dir: *dir,
		Progress: func(done, total int64) {
			shown.say("written %s of %s (%.0f %%)", bytesText(done), bytesText(total),
				percent(done, total))
		}})
	shown.done()
	if err != nil {
		return err
	}
	if *asJSON {
		return writeJSON(c.stdout, struct {
			Plan planView `json:"plan"`
			AOF  string   `json:"aof"`
			Run  string   `json:"run"`
		}{viewPlan(plan), *dir, startCommand(plan, *dir)})
	}
	_, err = fmt.Fprintf(c.stdout, "written to %s; start a server from it with\n  %s\n", *dir,
		startCommand(plan, *dir))
	return err
}

// startCommand starts a server from an append-only folder: --appenddirname is a name below --dir.
func startCommand(p *replay.Plan, dir string) string {
	server := "redis-server"
	if p.Needs.Format.Valkey {
		server = "valkey-server"
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return fmt.Sprintf("%s --appendonly yes --dir %s --appenddirname %s --appendfilename %s", server,
		admin.ShellWord(filepath.Dir(dir)), admin.ShellWord(filepath.Base(dir)), replay.AOFName)
}
