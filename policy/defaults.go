package policy

// DefaultRules is the policy where the configuration has no rules section. The rule "default"
// denies commands that no application needs and no one can undo; the rule "settings" denies CONFIG
// SET of parameters with the same effect.
//
// Other CONFIG SETs stay allowed. Applications use them (Spring Session sets
// notify-keyspace-events), and the server itself (enable-protected-configs) protects dir and
// dbfilename, which would give access to the machine's files. KEYS, MIGRATE, DEL and scripts stay
// allowed as well: they are ordinary work, or need a look at their arguments.
func DefaultRules() []RuleSpec {
	return []RuleSpec{{Name: "default", Action: "deny", Commands: []string{
		// Deletes or replaces the data set.
		"flushall", "flushdb", "swapdb", "function|flush", "function|restore",
		"cluster|reset", "cluster|flushslots", "cluster|flushslot",

		// Users and their rights are the operator's, on the server itself. A client that may change
		// them lifts the server's refusals for scripts, and for all clients that bypass the proxy.
		"acl|setuser", "acl|deluser", "acl|load",

		// Stops the server, or makes it follow another. FAILOVER and CLUSTER FAILOVER depose it.
		"shutdown", "replicaof", "slaveof", "failover",
		"cluster|failover", "cluster|replicate",

		// Takes the cluster apart: slots without an owner, nodes forgotten or let in.
		"cluster|addslots", "cluster|addslotsrange", "cluster|delslots",
		"cluster|delslotsrange", "cluster|setslot", "cluster|meet", "cluster|forget",
		"cluster|set-config-epoch", "cluster|bumpepoch",
		"cluster|migrateslots", "cluster|syncslots",

		// Loads code into the server, or unloads it with the data types that it keeps.
		"module|load", "module|loadex", "module|unload",

		// The server's own tools: they crash it, stall it or change values unseen.
		"debug", "pfdebug", "pfselftest",

		// The servers' own protocol. SYNC and PSYNC hand out the whole data set; RESTORE-ASKING
		// writes past a cluster's redirections.
		"sync", "psync", "replconf", "restore-asking",
	}}, {Name: "settings", Action: "deny", Commands: []string{"config|set"}, Arguments: []string{
		// With little memory and an eviction policy, the server deletes keys.
		"maxmemory", "maxmemory-policy", "maxmemory-clients",

		// Locks all clients out, or lets anyone in, or lifts the bounds on requests and replies.
		"requirepass", "bind", "bind-source-addr", "port", "maxclients", "protected-mode", "tls-*",
		"rdma-*", "unixsocket*", "timeout", "max-new-*", "socket-mark-id",
		"client-output-buffer-limit", "client-query-buffer-limit", "proto-max-bulk-len",

		// Stops all writes, or accepts them only where they are lost.
		"min-replicas-*", "min-slaves-*", "replica-read-only", "slave-read-only",
		"replica-serve-stale-data", "slave-serve-stale-data", "stop-writes-on-bgsave-error",
		"import-mode", "busy-reply-threshold", "lua-time-limit",

		// Loses the data at a restart, or overwrites another program's file.
		"appendonly", "appendfsync", "no-appendfsync-on-rewrite", "aof-load-*",
		"aof-disable-auto-gc", "save",
		"shutdown-*", "dir", "dbfilename", "rdb-del-sync-files", "oom-score-adj*",

		// Disconnects replicas and the journal, loses their place in the stream, or excludes them
		// from a failover.
		"repl-*", "replica-announce*", "slave-announce*", "replica-priority", "slave-priority",
		"replica-ignore-*", "slave-ignore-*", "replica-full-sync-buffer-limit",
		"masterauth", "masteruser", "primaryauth", "primaryuser", "propagation-error-behavior",
		"cluster-*",

		// Lets RESTORE take a value that crashes the server.
		"sanitize-dump-payload",
	}}}
}
