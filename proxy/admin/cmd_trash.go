package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var trashCommands = []*command{
	{name: "SHOW TRASH", args: "[JSON]", help: "what was moved aside instead of destroyed",
		max: 1, run: showTrash},
	{name: "UNDO", args: "id [REPLACE|MERGE]", help: "put an entry of the trash back; REPLACE: what " +
		"was written since goes to the trash; MERGE: it stays, and wins", min: 1, max: 2, run: undo},
	{name: "PURGE", args: "id", help: "empty an entry of the trash for good", min: 1, max: 1,
		run: purge},
}

func showTrash(ctx context.Context, c *client, args []string) (reply, error) {
	list, err := c.server.backend.Trash(ctx)
	if err != nil {
		return nil, err
	}
	return show(args, notNil(list), trashLines)
}

func trashLines(list []TrashEntry) []string {
	if len(list) == 0 {
		return []string{"the trash is empty"}
	}
	t := table{head: []string{"ID", "WHEN", "USER", "ADDRESS", "NAME", "COMMAND", "DBS", "KEYS",
		"UNTIL", "RULE"}}
	for i := range list {
		e := &list[i]
		dbs := strings.Trim(fmt.Sprint(e.Databases), "[]")
		command := e.Command
		switch {
		case e.ID == 0:
			command = "(not from the trash: never used, never emptied)"
		case e.Merging:
			command += " (merging)"
		}
		t.row(ref(e.ID), moment(e.At), e.User, e.Addr, e.Name, command, dbs, e.Keys,
			moment(e.Until), e.Rule)
	}
	return t.lines()
}

// moment is a time for people; in UTC, so that it can be compared with logs.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func undo(ctx context.Context, c *client, args []string) (reply, error) {
	id, err := trashID(args[0])
	if err != nil {
		return nil, err
	}
	how := ""
	if len(args) == 2 {
		how = strings.ToUpper(args[1])
		if how != "REPLACE" && how != "MERGE" {
			return nil, errSyntax
		}
	}
	u, err := c.server.backend.Undo(ctx, id, how)
	if err != nil {
		return nil, err
	}
	c.server.log.Info("console: undone", "addr", c.addr, "id", id, "how", how, "keys", u.Keys,
		"trash", u.Trash)
	return simple(undoneText(u)), nil
}

func undoneText(u *Undone) string {
	switch {
	case u.Merging:
		return "OK, and it goes on by itself: see SHOW TRASH"
	case u.Left > 0:
		return fmt.Sprintf("OK, %d keys are back; %d that were written since stay as they are, "+
			"their old values in entry %d", u.Keys, u.Left, u.Trash)
	case u.Trash != 0:
		return fmt.Sprintf("OK, %d keys are back; what was written since is entry %d", u.Keys,
			u.Trash)
	}
	return fmt.Sprintf("OK, %d keys are back", u.Keys)
}

func purge(ctx context.Context, c *client, args []string) (reply, error) {
	id, err := trashID(args[0])
	if err != nil {
		return nil, err
	}
	if err := c.server.backend.Purge(ctx, id); err != nil {
		return nil, err
	}
	c.server.log.Info("console: purged", "addr", c.addr, "id", id)
	return simple("OK"), nil
}

func trashID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return 0, errTrashID
	}
	return id, nil
}
