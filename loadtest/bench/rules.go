package main

import "strings"

// manyRules is the section of fifty rules such as an installation gathers: commands and subcommands
// by name and category, users, addresses, client names, databases, keys by globs, numbers of keys,
// limits. Some cover writes in general, and so the SETs of the load, but none of their other
// conditions holds: the benchmark measures the cost of rules for commands that pass.
func manyRules() string {
	var w strings.Builder
	w.WriteString("rules:\n")
	for _, rule := range strings.Split(strings.TrimSpace(ruleText), "\n") {
		name, rest, _ := strings.Cut(rule, " ")
		w.WriteString("  - {name: " + name + ", " + strings.TrimSpace(rest) + "}\n")
	}
	return w.String()
}

// ruleText is the rules, one a line: the name, and the rule's other keys.
const ruleText = `
migrations      users: [migrate], commands: ["@all"], action: allow
operators       users: ["ops-*"], commands: ["@admin", "@dangerous"], action: allow, limit: {rate: 10/s, burst: 20, per: user}
backup          users: [backup], commands: [save, bgsave, lastsave, "config|get"], action: allow
office          addresses: [192.0.2.0/24], commands: ["@all"], action: allow
jump-host       addresses: [198.51.100.7/32], commands: [flushdb], action: confirm
guests          addresses: [203.0.113.0/24], commands: ["@write"], action: deny
reporting       users: [reporting, bi], commands: ["@write"], action: deny
reporting-keys  users: [reporting], commands: [keys, smembers, hgetall], action: deny
import-jobs     client_names: ["import-*"], commands: ["@write"], action: allow, limit: {rate: 5000/s, burst: 5000, per: address}
sidekiq         client_names: [sidekiq], commands: [del, unlink], action: allow
workers         client_names: ["worker-*"], commands: [flushdb, flushall], action: deny
session-store   databases: [3], commands: [keys, "@dangerous"], action: deny
queue           databases: [4], commands: ["@write"], action: allow, limit: {rate: 20000/s, burst: 20000, per: global}
archive         databases: [9], commands: ["@write"], action: deny
payments        commands: ["@write"], keys: ["payment:*"], users: [reporting], action: deny
ledger          commands: ["@write"], keys: ["ledger:*:closed"], action: deny
frozen          commands: ["@write"], keys: ["frozen:*", "audit:*"], action: deny
config-keys     commands: [set, del, unlink, expire, rename], keys: ["config:*"], action: confirm
locks           commands: [del, unlink], keys: ["lock:*"], action: allow
sessions        commands: [del, unlink], keys: ["session:*"], action: allow, limit: {rate: 1000/s, burst: 1000, per: user}
carts           commands: [del, unlink, rename], keys: ["cart:*"], action: trash, keep: 1h
profiles        commands: [del, unlink, getdel], keys: ["user:*:profile"], action: trash, keep: 24h
big-deletes     commands: [del, unlink], keys_over: 1000, action: deny
big-reads       commands: [mget], keys_over: 10000, action: deny
big-unions      commands: [sunion, sinter, sdiff], keys_over: 100, action: deny
flush           commands: [flushall, flushdb], action: trash, keep: 24h, limit: {rate: 1/m, burst: 1, per: user}
keys            commands: [keys], action: rewrite
save            commands: [save], action: rewrite
shutdown        commands: [shutdown], action: deny
debug           commands: [debug], action: deny
replication     commands: [replicaof, slaveof, psync, sync], action: deny
failover        commands: [failover], action: deny
cluster         commands: ["cluster|reset", "cluster|failover", "cluster|meet"], action: deny
modules         commands: ["module|load", "module|unload"], action: deny
config-set      commands: ["config|set"], action: confirm
config-rewrite  commands: ["config|rewrite", "config|resetstat"], action: deny
acl             commands: ["acl|setuser", "acl|deluser", "acl|load"], action: deny
scripts         commands: ["script|flush", "script|kill"], action: deny
functions       commands: ["function|flush", "function|delete", "function|restore"], action: confirm
swapdb          commands: [swapdb], action: deny
migrate         commands: [migrate], action: deny
monitor         commands: [monitor], action: deny, limit: {rate: 1/h, burst: 1, per: address}
client-kill     commands: ["client|kill", "client|pause"], action: deny
latency         commands: ["latency|reset", "slowlog|reset"], action: deny
rename          commands: [rename], action: trash, keep: 1h
restore         commands: [restore], action: deny
sort            commands: [sort], action: allow, limit: {rate: 100/s, burst: 100, per: user}
scan            commands: [scan], action: allow, limit: {rate: 500/s, burst: 500, per: session}
publish         commands: [publish], action: allow, limit: {rate: 10000/s, burst: 10000, per: user}
dangerous       commands: ["@dangerous", "@admin"], action: deny
`
