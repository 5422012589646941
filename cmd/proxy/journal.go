package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"holdfast/configs"
	"holdfast/journal"
)

const aboutJournal = `Looks into a journal: one that a proxy is writing at the moment, or a copy of
its folder. Nothing in it is changed.

  ls       what it holds: timelines, bases, segments, gaps, incidents
  verify   read and check every byte; exits with 1 if anything is wrong
  show     the commands in it, one a line
  events   what destroyed data, and how to undo it
  export   write an append-only file that a server starts from
  which    where backup files stand: which one is newest, what each of them lacks

proxy journal COMMAND -h lists the flags of each.`

// journalCommands in the order of the help.
var journalCommands = []subcommand{
	{name: "ls", summary: "what it holds", run: journalList},
	{name: "verify", summary: "check every byte", run: journalVerify},
	{name: "show", summary: "the commands in it", run: journalShow},
	{name: "events", summary: "what destroyed data", run: journalEvents},
	{name: "export", summary: "write an append-only file", run: journalExport},
	{name: "which", summary: "where backup files stand", run: journalWhich},
}

// journalCommand is the subcommand journal.
func journalCommand(ctx context.Context, c *command, args []string) error {
	if len(args) > 0 {
		if s := find(journalCommands, args[0]); s != nil {
			return s.do(ctx, c, args[1:], "journal ")
		}
		if !strings.HasPrefix(args[0], "-") {
			return usagef("unknown command %q", "journal "+args[0])
		}
	}
	f := c.flags("journal", aboutJournal, "COMMAND")
	if err := c.parse(f, args); err != nil {
		return err
	}
	return usagef("no command given: ls, verify, show, events, export or which")
}

// A journalFlag selects a journal.
type journalFlag struct{ dir, config *string }

func addJournal(f *flag.FlagSet) journalFlag {
	return journalFlag{
		f.String("dir", "", "the journal's `folder`"),
		f.String("config", "", "a configuration `file`, for its journal.dir"),
	}
}

// folder is the journal's folder. The error is one of usage, or of the configuration.
func (j journalFlag) folder() (string, error) {
	switch {
	case *j.dir != "" && *j.config != "":
		return "", usagef("give either --dir or --config")
	case *j.dir != "":
		return *j.dir, nil
	case *j.config == "":
		return "", usagef("which journal? Give --dir or --config")
	}
	c, err := loadRecorder(*j.config)
	if err != nil {
		return "", err
	}
	return c.Journal.Dir, nil
}

// loadRecorder reads the configuration of a proxy that keeps a journal.
func loadRecorder(path string) (*configs.Config, error) {
	c, err := configs.Load(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	return c, hasJournal(path, c)
}

// hasJournal is the error of a configuration without a journal.
func hasJournal(path string, c *configs.Config) error {
	if c.Journal.Dir == "" {
		return fmt.Errorf("%s keeps no journal: it has no journal.dir", path)
	}
	return nil
}

// open opens a view of the journal. Of a damaged one it shows the readable part and reports the
// rest.
func (j journalFlag) open(c *command) (*journal.View, string, error) {
	dir, err := j.folder()
	if err != nil {
		return nil, "", err
	}
	view, err := journal.Salvage(nil, dir)
	switch {
	case err != nil: // its text already names the journal
		return nil, dir, err
	case len(view.Timelines()) == 0 && len(view.Damages()) == 0:
		err = fmt.Errorf("there is no journal in %s, or nothing was ever recorded", dir)
	}
	for _, d := range view.Damages() {
		fmt.Fprintf(c.stderr, "warning: %v\n", d)
	}
	if len(view.Damages()) > 0 {
		fmt.Fprintln(c.stderr, "warning: what lies before the damage and, from the next base on, behind it "+
			"can be used; if this is a copy of a folder that was being written, copy it once more; "+
			"else see \"When it is damaged\" in journal/README.md")
	}
	return view, dir, err
}
