package main

import (
	"context"
	"errors"
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
  export   write an append-only file that a server starts from
  which    where backup files stand: which one is newest, what each of them lacks

proxy journal COMMAND -h lists the flags of each.`

// journalCommands in the order of the help.
var journalCommands = []subcommand{
	{"ls", "what it holds", journalList},
	{"verify", "check every byte", journalVerify},
	{"show", "the commands in it", journalShow},
	{"export", "write an append-only file", journalExport},
	{"which", "where backup files stand", journalWhich},
}

// journalCommand is the subcommand journal.
func journalCommand(ctx context.Context, c *command, args []string) error {
	if len(args) > 0 {
		for _, s := range journalCommands {
			if s.name == args[0] {
				return s.do(ctx, c, args[1:], "journal ")
			}
		}
		if !strings.HasPrefix(args[0], "-") {
			return usagef("unknown command %q", "journal "+args[0])
		}
	}
	f := flag.NewFlagSet("journal", flag.ContinueOnError)
	f.SetOutput(c.stderr)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "Usage: proxy journal COMMAND [flags]\n\n%s\n", aboutJournal)
	}
	if err := c.parse(f, args); err != nil {
		return err
	}
	return usagef("no command given: ls, verify, show, export or which")
}

// A journalFlag says which journal is meant.
type journalFlag struct{ dir, config *string }

func addJournal(f *flag.FlagSet) journalFlag {
	return journalFlag{
		f.String("dir", "", "the journal's `folder`"),
		f.String("config", "", "a configuration `file`, for its journal.dir"),
	}
}

// folder is the journal's. The error is one of usage, or of the configuration.
func (j journalFlag) folder() (string, error) {
	switch {
	case *j.dir != "" && *j.config != "":
		return "", usagef("give either --dir or --config")
	case *j.dir != "":
		return *j.dir, nil
	case *j.config == "":
		return "", usagef("which journal? Give --dir or --config")
	}
	c, err := configs.Load(*j.config)
	if err != nil {
		return "", fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	if c.Journal.Dir == "" {
		return "", fmt.Errorf("%s keeps no journal: it has no journal.dir", *j.config)
	}
	return c.Journal.Dir, nil
}

// open looks into the journal.
func (j journalFlag) open() (*journal.View, string, error) {
	dir, err := j.folder()
	if err != nil {
		return nil, "", err
	}
	view, err := journal.OpenView(nil, dir)
	switch {
	case errors.Is(err, journal.ErrDamaged):
		err = fmt.Errorf("journal in %s: %w; if this is a copy of a folder that was being written, "+
			"copy it once more; else see \"When it is damaged\" in journal/README.md", dir, err)
	case err != nil: // it says by itself that it is of the journal
	case len(view.Timelines()) == 0:
		err = fmt.Errorf("there is no journal in %s, or nothing was ever recorded", dir)
	}
	return view, dir, err
}
