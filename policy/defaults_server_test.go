package policy

import (
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// harmlessSettings is the parameters of CONFIG SET that the built-in rules leave to clients: they
// change the server's speed, its log and its encoding of values, but neither its data nor its
// clients. A * stands for the rest of a name.
var harmlessSettings = []string{
	"acl-pubsub-default", "acllog-max-len", "active-*", "activedefrag", "activerehashing",
	"always-show-logo", "aof-rewrite-incremental-fsync", "aof-timestamp-enabled",
	"aof-use-rdb-preamble", "auto-aof-rewrite-*", "availability-zone",
	"commandlog-*", "crash-log-enabled", "crash-memcheck-enabled", "disable-thp",
	"dual-channel-replication-enabled", "dynamic-hz", "extended-redis-compatibility",
	"events-per-io-thread", "hash-*", "hide-user-data-from-log", "hll-*", "hz", "ignore-warnings",
	"io-threads*", "jemalloc-bg-thread", "latency-*", "lazyfree-*", "lfu-*", "list-*",
	"locale-collate", "log-*", "loglevel", "maxmemory-eviction-tenacity",
	"maxmemory-samples", "notify-keyspace-events", "prefetch-batch-max-size",
	"proc-title-template", "rdb-save-incremental-fsync", "rdbcompression", "rdb-version-check",
	"replica-lazy-flush", "set-*", "slave-lazy-flush", "slot-*", "slowlog-*", "stream-node-*",
	"tcp-keepalive", "tracking-table-max-keys", "zset-*",
}

// Every parameter that some server lets CONFIG SET change is refused by the built-in rule, or known
// to be harmless. A new one has to be looked at.
func TestDefaultRulesKnowTheSettings(t *testing.T) {
	p := mustNew(t, Options{Rules: DefaultRules()})
	set := p.Table().ByName("config|set")
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			for n, v := range srv.MustDo("CONFIG", "GET", "*").(map[any]any) {
				name, value := n.(string), v.(string)
				_, err := srv.Do("CONFIG", "SET", name, value)
				if err != nil && (strings.Contains(err.Error(), "can't set immutable config") ||
					strings.Contains(err.Error(), "can't set protected config")) && name != "dir" {
					continue
				}
				args := [][]byte{[]byte("CONFIG"), []byte("SET"), []byte(name), []byte(value)}
				denied := p.Decide(&Request{Cmd: set, Args: args}).Action == Deny
				known := slices.ContainsFunc(harmlessSettings, func(text string) bool {
					g := CompileGlob(text)
					return g.MatchString(name)
				})
				if !denied && !known {
					t.Errorf("CONFIG SET %s is not refused and not known to be harmless", name)
				}
				if denied && known {
					t.Errorf("CONFIG SET %s is refused, and harmless", name)
				}
			}
		})
	}
}
