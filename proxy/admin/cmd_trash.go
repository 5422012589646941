package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var trashCommands = []*command{
	{name: "SHOW TRASH", args: "[LIMIT n] [JSON]", max: 3, run: showTrash,
		help: "what was moved aside instead of destroyed; of single keys, the newest n entries"},
	{name: "UNDO", acts: true, args: "id [REPLACE|MERGE]", min: 1, max: 2, run: undo,
		help: "put an entry of the trash back; REPLACE: what was written since goes to the trash; " +
			"MERGE: it stays, and wins"},
	{name: "PURGE", acts: true, args: "id", min: 1, max: 1, run: purge,
		help: "empty an entry of the trash for good"},
}

func showTrash(ctx context.Context, c *client, args []string) (reply, error) {
	args, asJSON := cutJSON(args)
	limit := defaultLimit
	if len(args) > 0 {
		var err error
		if limit, err = parseLimit(args); err != nil {
			return nil, err
		}
	}
	trash, err := c.server.backend.Trash(ctx, limit)
	if err != nil {
		return nil, err
	}
	if asJSON {
		trash.Entries = notNil(trash.Entries)
		return jsonReply(trash)
	}
	return lines(append(trashLines(trash.Entries, trash.Total), trash.room()...)), nil
}

// room lists the trash's databases, and the number of free ones.
func (t *Trash) room() []string {
	out := []string{fmt.Sprintf("hidden from clients: databases %s for flushed data, %d of %d free; database "+
		"%d for the ledger and single keys", strings.Trim(fmt.Sprint(t.Databases), "[]"), t.Free,
		len(t.Databases), t.Ledger)}
	if t.Free > 0 {
		return out
	}
	when := ""
	if !t.RoomAt.IsZero() {
		when = ": the next entry is emptied at " + moment(t.RoomAt)
	}
	return append(out, "FULL: flushes are denied until there is room"+when+"; UNDO or PURGE makes room now")
}

func trashLines(list []TrashEntry, total int) []string {
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
	out := t.lines()
	if len(list) < total {
		out = append(out, fmt.Sprintf("%d of %d entries; LIMIT 0 shows all", len(list), total))
	}
	return out
}

// moment formats a time in UTC, as in the logs.
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
	c.result = u.Text()
	return simple(c.result), nil
}

// Text says what an Undo has done.
func (u *Undone) Text() string {
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
