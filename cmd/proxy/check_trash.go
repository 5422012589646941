package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/configs"
	"holdfast/policy"
	"holdfast/proxy/trash"
	"holdfast/proxy/upstream"
)

// trashNeeds are the commands in the scripts of the trash, with arguments that the server accepts.
var trashNeeds = []string{
	"eval x 0", "swapdb 0 1", "select 1", "dbsize", "flushdb async", "info keyspace", "time",
	"move k 1", "scan 0", "hset k f v", "hget k f", "hvals k", "hdel k f", "hlen k", "incr k",
	"exists k", "rename k l", "copy k l db 1", "set k v", "get k", "del k", "unlink k", "pttl k", "zadd k 1 m",
	"zrem k m", "zrange k 0 0", "zrevrange k 0 0", "zrangebyscore k 0 1", "sadd k m", "srem k m",
	"srandmember k 1",
}

// checkTrash reports the place of the trash, and the obstacles to one. It returns the databases
// that are reserved for it, if any.
func checkTrash(
	ctx context.Context, r *report, c *configs.Config, u *upstream.Upstream, user string,
	info *upstream.Info,
) []int {
	reserved, p, err := planTrash(c, info)
	switch {
	case errors.Is(err, errRules):
		return nil // reported with the rules
	case err != nil:
		r.fail("trash", "%v", err)
		return nil
	case reserved == nil:
		return nil
	}
	dbs := strings.Trim(fmt.Sprint(reserved), "[]")
	r.ok("trash", "databases %s are reserved for it and hidden from clients", dbs)
	switch slots, free, err := trash.Holds(ctx, u, trashSettings(c), p); {
	case err != nil:
		r.warn("trash", "how full it is cannot be told: %v", err)
	case free == 0:
		r.warn("trash", "it is full: each of its %d databases holds a flush, and further flushes are denied until "+
			"one is emptied (SHOW TRASH, UNDO and PURGE on the console)", slots)
	default:
		r.ok("trash", "%d of its %d databases for flushes are free", free, slots)
	}
	if rules := trash.UnlimitedFlushes(p); len(rules) > 0 {
		r.warn("trash", "it holds %d flushed databases, and the rule has no limit (%s): when it is full, "+
			"flushes are denied until the oldest was kept long enough; a test suite that flushes "+
			"between tests fails then", len(reserved)-1, strings.Join(rules, ", "))
	}
	if what := trash.Evicts(info); what != "" {
		r.warn("trash", "the server evicts %s when it is full (%s), %s, too: UNDO cannot bring these "+
			"back", what, info.MaxMemoryPolicy, evicted(what))
	}
	checkTrashLogin(ctx, r, u, user)
	return reserved
}

var errRules = errors.New("the rules cannot be compiled")

// planTrash returns the databases that are reserved for the trash, if any, and the rules that need
// it.
func planTrash(c *configs.Config, info *upstream.Info) (reserved []int, p *policy.Policy, err error) {
	table := policy.Builtin()
	if t, err := policy.NewTable(info.CommandReply); err == nil {
		table = t
	}
	p, err = policy.New(policy.Options{
		Table: table, Rules: ruleSpecs(c), Enforcement: c.Enforcement, AllowUnknown: true,
	})
	if err != nil {
		return nil, nil, errRules
	}
	reserved, err = trash.Reserve(trashSettings(c), p, info)
	return reserved, p, err
}

// evicted names the part of the trash that such an eviction affects.
func evicted(what string) string {
	if what == trash.EvictsAll {
		return "those in the trash and its ledger"
	}
	return "those in the trash"
}

// checkTrashLogin asks the server for the control user's rights.
func checkTrashLogin(ctx context.Context, r *report, u *upstream.Upstream, user string) {
	for _, need := range trashNeeds {
		args := []any{"ACL", "DRYRUN", user}
		for _, word := range strings.Fields(need) {
			args = append(args, word)
		}
		switch answer, err := u.Do(ctx, args...); {
		case err != nil:
			r.fail("trash", "the control user %s must be allowed ACL DRYRUN: %v", user, err)
			return
		case answer != "OK":
			name, _, _ := strings.Cut(need, " ")
			r.fail("trash", "the control user %s must be allowed %s: %v", user,
				strings.ToUpper(name), answer)
		}
	}
}
