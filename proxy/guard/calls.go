package guard

import (
	"context"
	"strconv"
	"strings"
)

// aclCalls counts the server's executions of commands that change users, from INFO commandstats.
// While the count is constant the guard's user is unchanged, and ACL GETUSER is unnecessary: for a
// user with permissions such as +select|0, which keep code out of hidden databases, servers log a
// deprecation warning per permission, each time.
type aclCalls struct {
	changes string // the counts of ACL SETUSER, DELUSER and LOAD, as text
	infos   int64  // executions of INFO, which grow with each check; fewer: CONFIG RESETSTAT
}

// readACLCalls asks the server; false: no counts.
func readACLCalls(ctx context.Context, on Server) (c aclCalls, ok bool) {
	reply, err := on.Do(ctx, "INFO", "commandstats")
	text, _ := reply.(string)
	if err != nil {
		return c, false
	}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		calls, _, _ := strings.Cut(rest, ",")
		switch name {
		case "acl|setuser", "acl|deluser", "acl|load":
			c.changes += name + "=" + calls + " "
		case "info":
			c.infos, _ = strconv.ParseInt(calls, 10, 64)
		}
	}
	return c, c.infos > 0
}

// still reports whether no user was changed between two checks.
func (c aclCalls) still(before aclCalls) bool {
	return c.changes == before.changes && c.infos > before.infos && before.infos > 0
}
