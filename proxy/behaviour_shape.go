package proxy

import (
	"strings"

	"holdfast/policy"
)

// A command that behaviours does not name is judged by its flags and categories, so that the
// commands of a newer server are safe before any review. A shared link takes a command only if it
// looks like data (keys, read or written, allowed in scripts) or was reviewed. A link of the
// session's own is always safe: it costs a connection.

// reviewed are the commands without keys, or forbidden in scripts, that neither block their connection
// nor leave state on it: those of Redis 7.0 to 8.0 and Valkey 8.0 to 9.1.
var reviewed = namesOf(`
	acl|cat acl|dryrun acl|genpass acl|getuser acl|help acl|list acl|log acl|save acl|users acl|whoami
	bgrewriteaof bgsave client|help
	cluster|addslots cluster|addslotsrange cluster|bumpepoch cluster|cancelslotmigrations
	cluster|count-failure-reports cluster|countkeysinslot cluster|delslots cluster|delslotsrange
	cluster|failover cluster|flushslot cluster|flushslots cluster|forget cluster|getkeysinslot
	cluster|getslotmigrations cluster|help cluster|info cluster|keyslot cluster|links cluster|meet
	cluster|migrateslots cluster|myid cluster|myshardid cluster|nodes cluster|replicas
	cluster|replicate cluster|reset cluster|saveconfig cluster|set-config-epoch cluster|shards
	cluster|slaves cluster|slot-stats cluster|slots clusterscan
	command command|count command|docs command|getkeys command|getkeysandflags command|help
	command|info command|list commandlog|help
	config|get config|help config|resetstat config|rewrite dbsize echo
	function|delete function|dump function|flush function|help function|list function|load
	function|restore function|stats
	keys lastsave latency|doctor latency|graph latency|help latency|histogram latency|history
	latency|latest latency|reset lolwut
	memory|doctor memory|help memory|malloc-stats memory|purge memory|stats
	module|help module|list module|load module|loadex module|unload object|help
	pfselftest ping pubsub|channels pubsub|help pubsub|numpat pubsub|numsub
	pubsub|shardchannels pubsub|shardnumsub randomkey replicaof role save scan
	script|exists script|flush script|help script|load script|show slaveof
	slowlog|help time xgroup|help xinfo|help`)

func namesOf(list string) map[string]bool {
	names := map[string]bool{}
	for _, name := range strings.Fields(list) {
		names[name] = true
	}
	return names
}

// shapeOf classifies a command by its entry in the server's table. Module commands may block their
// client, or run outside the main thread, without a flag that shows it: like scripts, they are
// separated from ordinary traffic. Module commands that a script may not call are likely to block.
//
// A name that is unknown, or was made by rename-command, may be any command. So may an unknown
// subcommand of a container: the table may be older than the server.
func shapeOf(c *policy.Command) behaviour {
	noScript := c.Flags.Has(policy.FlagNoScript)
	switch {
	case c.Flags.Has(policy.FlagBlocking):
		return blocking
	case c.Categories.Has(policy.CatConnection) && !reviewed[c.Name]:
		return stateful
	case c.Flags.Has(policy.FlagModule) && noScript:
		return blocking
	case c.Flags.Has(policy.FlagModule):
		return script
	case reviewed[c.Name] || !noScript && isData(c):
		return plain
	}
	return stateful
}

// isData reports whether a command reads or writes keys that it names, and belongs to no group that
// concerns the connection.
func isData(c *policy.Command) bool {
	if len(c.KeySpecs) == 0 || c.IsContainer() || c.Flags.Has(policy.FlagPubSub) ||
		c.Categories.Has(policy.CatTransaction) {
		return false
	}
	return c.Flags.Has(policy.FlagReadonly) || c.Flags.Has(policy.FlagWrite)
}
