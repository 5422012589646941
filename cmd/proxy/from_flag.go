package main

import (
	"context"
	"flag"
	"fmt"

	"holdfast/journal"
	"holdfast/journal/replay"
)

// A fromFlag names a backup to continue instead of the journal's own bases.
type fromFlag struct{ path *string }

func addFrom(f *flag.FlagSet) fromFlag {
	return fromFlag{f.String("from", "", "continue from a `BACKUP` (an RDB file) as from a base of the "+
		"journal's: for moments\nthat its own bases do not lead to")}
}

// view shows the journal with that backup, if there is one.
func (o fromFlag) view(ctx context.Context, c *command, view *journal.View) (*journal.View, error) {
	if *o.path == "" {
		return view, nil
	}
	from, backup, err := replay.FromBackup(ctx, view, nil, *o.path)
	if err == nil && backup.Note != "" {
		fmt.Fprintf(c.stderr, "warning: %s is taken as it is: %s\n", *o.path, backup.Note)
	}
	return from, err
}
