package main

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"holdfast/configs"
	"holdfast/journal"
	"holdfast/journal/quantity"
	"holdfast/journal/vfs"
	"holdfast/proxy/upstream"
)

// smallBacklog is a replication backlog that a busy server fills in moments: a journal that was
// away for longer needs a snapshot of everything.
const smallBacklog = 16 * configs.MiB

// checkFolder looks at the journal's folder, without locking it.
func checkFolder(r *report, c *configs.Config) {
	dir := c.Journal.Dir
	if dir == "" {
		return
	}
	view, err := journal.OpenView(nil, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.ok("journal", "%s: new", dir)
		return
	case err != nil:
		r.fail("journal", "%s: %v", dir, err)
		return
	}
	r.journalBytes = folderSize(view)
	first, last := view.TimeRange()
	r.ok("journal", "%s: %s, %s, %s, from %s to %s", dir, quantity.Of(len(view.Timelines()), "timeline"),
		quantity.Of(len(view.Bases()), "base"), quantity.Of(len(view.Segments()), "segment"), clock(first), clock(last))
	checkIncidents(r, view)
	usage, err := vfs.OS{}.Usage(dir)
	limits := c.Journal.Disk
	if p := usage.UsedPercent(); err == nil && limits.Stop > 0 && p >= float64(limits.Stop) {
		r.fail("journal", "the disk is %.0f %% full, and disk.stop is %d", p, limits.Stop)
	} else if err == nil && limits.Warn > 0 && p >= float64(limits.Warn) {
		r.warn("journal", "the disk is %.0f %% full, and disk.warn is %d", p, limits.Warn)
	}
}

// checkReplication asks whether the server lets the proxy's user replicate, and how long the
// journal may be away.
func checkReplication(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string,
) {
	if c.Journal.Dir == "" {
		return
	}
	checkPSYNC(ctx, r, u, user)
	checkFeed(ctx, r, c, u, user)
	checkRoom(ctx, r, c, u)
	checkJournalMark(ctx, r, c, u, user)
	text, err := u.Do(ctx, "INFO", "replication")
	if err != nil {
		r.warn("journal", "the size of the replication backlog is unknown: %v; +info for user %s "+
			"also lets the journal tell lost writes from new histories", err, user)
		return
	}
	info := infoFields(text)
	size, err := strconv.ParseInt(info["repl_backlog_size"], 10, 64)
	if err != nil {
		r.warn("journal", "the server does not say how large its replication backlog is")
		return
	}
	backlog := configs.Bytes(size)
	if backlog < smallBacklog {
		r.warn("journal", "repl-backlog-size is %v: if more is written while the journal is away "+
			"(a restart of the proxy), it lacks that and needs a snapshot of everything; set it to "+
			"what is written in %v, and to %v at least", backlog, c.Journal.Backlog, smallBacklog)
		return
	}
	r.ok("journal", "repl-backlog-size is %v", backlog)
}

// checkPSYNC asks by ACL DRYRUN: there is no harmless way to try.
func checkPSYNC(ctx context.Context, r *report, u *upstream.Upstream, user string) {
	for _, args := range [][]any{{"PSYNC", "?", "-1"}, {"REPLCONF", "ACK", "0"}} {
		reply, err := u.Do(ctx, append([]any{"ACL", "DRYRUN", user}, args...)...)
		switch {
		case err != nil:
			r.warn("journal", "whether the control user %s may replicate is unknown: ACL DRYRUN: %v",
				user, err)
			return
		case reply != "OK":
			r.fail("journal", "the control user %s may not run %s: it needs +psync +replconf", user,
				args[0])
			return
		}
	}
	r.ok("journal", "the control user %s may replicate", user)
}

// checkFeed asks whether the proxy may feed replicas in a failover.
func checkFeed(ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string) {
	switch {
	case len(c.Upstream.Sentinels) == 0:
		return
	case c.Failover.Feed == configs.Off:
		r.warn("failover", "failover.feed is %s: writes that only the journal has are missing after a failover, and an "+
			"incident names them", c.Failover.Feed)
		return
	}
	commands, rights := [][]any{{"REPLICAOF", "NO", "ONE"}, {"INFO", "replication"}, {"MULTI"}, {"EXEC"}},
		"+replicaof +info +multi +exec"
	if c.Failover.Feed == configs.Always {
		commands = append(commands, []any{"CLIENT", "SETNAME", "x"}, []any{"CLIENT", "LIST"}) // by which it claims a server
		rights += " +client|setname +client|list"
	}
	for _, args := range commands {
		reply, err := u.Do(ctx, append([]any{"ACL", "DRYRUN", user}, args...)...)
		if err != nil {
			return // checkPSYNC has reported it
		}
		if reply != "OK" {
			r.warn("failover", "the control user %s may not run %s: writes that only the journal has are missing after "+
				"a failover. On every server: ACL SETUSER %s %s", user, args[0], user, rights)
			return
		}
	}
	r.ok("failover", "the control user %s may feed replicas the writes that only the journal has", user)
}

// infoFields reads a reply to INFO.
func infoFields(reply any) map[string]string {
	out := map[string]string{}
	text, _ := reply.(string)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			out[key] = value
		}
	}
	return out
}
