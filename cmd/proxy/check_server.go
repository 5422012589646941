package main

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"holdfast/configs"
	"holdfast/proxy/upstream"
)

// consequences lists the features that the proxy loses when its user may not run a command.
var consequences = map[string]string{
	"info": "version, role and persistence stay unknown, and a failover is noticed only when " +
		"the connection breaks",
	"config|get": "the number of databases and the server's limits stay unknown",
	"command": "the built-in command table is used: commands of modules and of newer versions " +
		"are unknown to the rules",
}

// controlUser is the user of the proxy's own connections. The server may take it from the proxy's
// certificate (tls-auth-clients-user), so the server is asked. A user that may not ask is the
// configured one.
func controlUser(ctx context.Context, c *configs.Config, u *upstream.Upstream) string {
	if name, err := u.Do(ctx, "ACL", "WHOAMI"); err == nil {
		if name, ok := name.(string); ok {
			return name
		}
	}
	return cmp.Or(c.Upstream.Username, "default")
}

// checkLogin checks the rights of the proxy's own user, and whether other clients can log in.
func checkLogin(r *report, c *configs.Config, info *upstream.Info, user string) {
	if info.Err != nil {
		r.fail("upstream", "%v", info.Err)
		return
	}
	if len(info.Missing) == 0 {
		r.ok("login", "the control user %s may do what the proxy needs", user)
	}
	for _, name := range info.Missing {
		r.warn("login", "the control user %s may not run %s: %s", user,
			spelled(name), consequences[name])
	}
	if info.AuthRequired {
		r.ok("login", "the server asks clients for a password")
		return
	}
	open := false
	for _, l := range c.Listeners {
		if l.Exposed() {
			open = true
			r.warn("login", "the server asks for no password, and other machines can reach "+
				"the listener %s", l.Address)
		}
	}
	if !open {
		r.ok("login", "the server asks for no password, and only this machine can reach the proxy")
	}
}

func checkVersion(r *report, info *upstream.Info) {
	switch err := info.Supported(); {
	case err != nil:
		r.fail("version", "%v", err)
	case info.Version == "":
		r.warn("version", "unknown: the server does not say")
	default:
		r.ok("version", "%s %s", info.Server, info.Version)
	}
}

func checkRole(r *report, info *upstream.Info) {
	switch {
	case info.Sentinel:
		r.fail("role", "a sentinel, not a server: set the address of the primary, which SENTINEL "+
			"GET-MASTER-ADDR-BY-NAME tells")
	case info.Role == "master":
		r.ok("role", "primary")
	case info.Role == "slave":
		r.warn("role", "a replica: it refuses writes unless it is configured otherwise")
	default:
		r.warn("role", "unknown: %q", info.Role)
	}
	for _, why := range info.Refuses() {
		if !info.Sentinel && !info.Cluster && info.Role != "slave" {
			r.warn("role", "the server serves no clients now: %s", why)
		}
	}
	if info.Cluster {
		r.fail("role", "the server is part of a cluster: its redirections would lead clients "+
			"past the proxy. Not supported by this version")
	}
}

// checkPersistence reports the data that a restart of the server would lose.
func checkPersistence(r *report, info *upstream.Info) {
	switch {
	case info.AppendOnly && info.AppendFsync == "no":
		r.warn("persistence", "append-only file without fsync: a power loss takes what the "+
			"kernel has not written yet")
	case info.AppendOnly && info.AppendFsync == "":
		r.ok("persistence", "append-only file")
	case info.AppendOnly:
		r.ok("persistence", "append-only file, fsync %s", info.AppendFsync)
	case info.Save != "":
		r.warn("persistence", "snapshots only (save %s): a restart loses what came after the "+
			"last one", info.Save)
	case slices.Contains(info.Missing, "config|get"):
		r.warn("persistence", "no append-only file; snapshots unknown")
	default:
		r.warn("persistence", "none: a restart loses everything")
	}
	if info.LastSave == "err" {
		r.warn("persistence", "the last snapshot failed; the server may refuse writes (MISCONF)")
	}
	if info.LastAOFWrite == "err" {
		r.warn("persistence", "the last write to the append-only file failed")
	}
}

func checkMemory(r *report, info *upstream.Info) {
	size := configs.Bytes(info.MaxMemory)
	switch {
	case info.MaxMemory == 0:
		r.ok("memory", "the server has no maxmemory")
	case info.MaxMemoryPolicy == "noeviction":
		r.ok("memory", "maxmemory %v; the server refuses writes beyond it", size)
	case strings.HasPrefix(info.MaxMemoryPolicy, "volatile-"):
		r.warn("memory", "maxmemory %v with %s: keys with a time to live go early when it is "+
			"full", size, info.MaxMemoryPolicy)
	default:
		r.warn("memory", "maxmemory %v with %s: keys of any kind go when it is full", size,
			info.MaxMemoryPolicy)
	}
}

// checkShare compares the proxy's possible connections with the server's limit for all clients.
func checkShare(r *report, c *configs.Config, info *upstream.Info) {
	if info.Maxclients == 0 {
		return
	}
	l := limits(c)
	share := l.ShareOfServer(info.Maxclients)
	switch {
	case share > info.Maxclients-ownConnections:
		r.warn("limits", "upstream_links is %d, and the server takes %d connections in all "+
			"(maxclients): clients of the proxy can lock out others, and the proxy itself",
			share, info.Maxclients)
	case c.Limits.PinnedLinks > info.Maxclients:
		r.warn("limits", "pinned_links is %d, and the server takes %d connections in all",
			c.Limits.PinnedLinks, info.Maxclients)
	default:
		r.ok("limits", "clients get at most %d of the server's %d connections", share,
			info.Maxclients)
	}
}

// ownConnections is the number of the proxy's own connections: control, journal, fences.
const ownConnections = 16

// checkLimits compares the proxy's limits with the server's.
func checkLimits(r *report, c *configs.Config, info *upstream.Info) {
	checkShare(r, c, info)
	if bulk := configs.Bytes(info.ProtoMaxBulk); bulk > c.Limits.MaxBulk {
		r.warn("limits", "max_bulk is %v, and the server takes %v (proto-max-bulk-len)",
			c.Limits.MaxBulk, bulk)
	}
	if info.Databases > 0 {
		r.ok("databases", "%d", info.Databases)
	}
}
