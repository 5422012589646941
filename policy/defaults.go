package policy

// DefaultRules is the policy where the configuration has no rules section: the rule "default"
// denies what no application needs and what cannot be undone, and the rule "settings" those parameters
// of CONFIG SET that come to the same.
//
// Otherwise CONFIG SET stays allowed. Applications use it (Spring Session sets
// notify-keyspace-events), and the settings that would turn it into a way to the machine's files,
// dir and dbfilename, are protected by the server itself (enable-protected-configs). KEYS, MIGRATE,
// DEL and scripts stay allowed as well: they are ordinary work, or need a look at their arguments.
func DefaultRules() []RuleSpec {
	return []RuleSpec{{Name: "default", Action: "deny", Commands: []string{
		// The data set goes, or another takes its place.
		"flushall", "flushdb", "swapdb", "function|flush", "function|restore",
		"cluster|reset", "cluster|flushslots",

		// Who may do what is the operator's to say, on the server itself. A client that may change
		// it lifts what the server refuses to scripts, and to everybody who does not come this way.
		"acl|setuser", "acl|deluser", "acl|load",

		// The server goes, or follows another. FAILOVER and CLUSTER FAILOVER depose it.
		"shutdown", "replicaof", "slaveof", "failover",
		"cluster|failover", "cluster|replicate",

		// The cluster is taken apart: slots without an owner, nodes forgotten or let in.
		"cluster|addslots", "cluster|addslotsrange", "cluster|delslots",
		"cluster|delslotsrange", "cluster|setslot", "cluster|meet", "cluster|forget",
		"cluster|set-config-epoch", "cluster|bumpepoch",

		// Code enters the server, or leaves it with the data types that it keeps.
		"module|load", "module|loadex", "module|unload",

		// The server's own tools: they crash it, stall it or change values unseen.
		"debug", "pfdebug", "pfselftest",

		// What servers say to each other. SYNC and PSYNC hand out the whole data set;
		// RESTORE-ASKING writes past a cluster's redirections.
		"sync", "psync", "replconf", "restore-asking",
	}}, {Name: "settings", Action: "deny", Commands: []string{"config|set"}, Arguments: []string{
		// With little memory and an eviction policy, the server deletes what it holds.
		"maxmemory", "maxmemory-policy", "maxmemory-clients",

		// Nobody gets in any more, or everybody.
		"requirepass", "bind", "port", "maxclients", "protected-mode", "tls-*",

		// Nobody may write any more.
		"min-replicas-*", "min-slaves-*",

		// What it holds is gone after a restart.
		"appendonly", "appendfsync", "save",
	}}}
}
