package proxy_test

import (
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
)

// A rule about a category reaches all of it, whatever the spelling and wherever it comes from.
func TestWaysRoundACategory(t *testing.T) {
	t.Parallel()
	w := ways{rules: "deny @dangerous except=info"}
	for _, line := range []string{
		"CLIENT|KILL|TYPE|normal", "client|kill|127.0.0.1:1", "CLIENT|PAUSE|100000", "CLIENT|UNPAUSE",
		"CLIENT|UNBLOCK|1|ERROR", "CLIENT|NO-EVICT|ON", "CLIENT|LIST", "CLIENT|NO-SUCH",
		"CONFIG|REWRITE", "CONFIG|SET|maxmemory|1|maxmemory-policy|allkeys-lru", "CONFIG|RESETSTAT",
		"CONFIG|SET|save|", "CONFIG|GET|*", "CONFIG", "CONFIG|", "ACL|SAVE", "ACL|SETUSER|x", "ACL|LOAD",
		"ACL|LOG|RESET", "LATENCY|RESET", "SLOWLOG|RESET", "DEBUG|RELOAD", "DEBUG|LOADAOF", "DEBUG|RESTART",
		"DEBUG|CRASH-AND-RECOVER", "DEBUG|SLEEP|0", "DEBUG|JMAP", "DEBUG|STRINGMATCH-LEN|1|x", "SHUTDOWN",
		"SHUTDOWN|NOSAVE|FORCE", "FAILOVER|TO|127.0.0.1|1|FORCE", "REPLICAOF|NO|ONE", "SLAVEOF|NO|ONE",
		"MODULE|LIST", "MODULE|LOADEX|/x|CONFIG|a|b", "MIGRATE|127.0.0.1|1||0|1|KEYS|keep|keep2",
		"MIGRATE|127.0.0.1|1|keep|0|1|COPY|REPLACE", "RESTORE|keep|0|x|REPLACE",
		"RESTORE-ASKING|keep|0|x|REPLACE", "SORT|looselist|STORE|keep", "SORT|looselist", "SORT_RO|looselist",
		"KEYS|*", "SWAPDB|0|1", "FLUSHALL", "FLUSHDB", "CLUSTER|FLUSHSLOTS", "CLUSTER|RESET|HARD",
		"CLUSTER|SLOTS|x|y", "MONITOR", "SYNC", "PSYNC|?|-1", "REPLCONF|capa|eof", "ROLE", "SAVE", "BGSAVE",
		"BGREWRITEAOF", "LASTSAVE", "PFDEBUG|TODENSE|keep", "PFSELFTEST",
		"EVAL|redis.call('sort', 'looselist', 'STORE', 'keep')|0", "EVAL|redis.call('KEYS', '*')|0",
		"EVAL_RO|redis.call('flushall')|0", "EVAL|redis.call('restore', 'keep', 0, 'x', 'REPLACE')|0",
	} {
		want := "-DENIED"
		if line == "CLUSTER|SLOTS|x|y" {
			want = "-ERR" // not dangerous
		}
		w.rows = append(w.rows, way{sends: line, want: []string{want}},
			way{sends: "MULTI\n" + strings.ToLower(line) + "\nEXEC", want: []string{"+OK", want, "-EXECABORT"}},
			way{sends: "WATCH|keep\n" + line, want: []string{"+OK", want}},
			way{sends: "CLIENT|TRACKING|ON\n" + line, want: []string{"+OK", want}},
			way{sends: "CLIENT|REPLY|OFF\n" + line + "\nCLIENT|REPLY|ON\n" + line,
				want: []string{"", "", "+OK", want}})
	}
	w.run(t)
}

// Odd words: what is no command here must not be one there.
func TestWaysByOddWords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("FLUSHALL", 1000)
	w := ways{change: func(o *proxy.Options) { o.Rules = policy.DefaultRules() }, rows: []way{
		{sends: long, want: []string{"-ERR unknown command"}},
		{sends: long + "|FLUSHALL", want: []string{"-ERR unknown command"}},
		{sends: "|FLUSHALL", want: []string{"-ERR unknown command"}},
		{sends: "FLUSHALL|", want: []string{"-DENIED"}},
		{sends: "FLUSHALL|||", want: []string{"-DENIED"}},
		{sends: "CONFIG||maxmemory|1", want: []string{"-ERR unknown subcommand"}},
		{sends: "CONFIG|SET||1|maxmemory|1", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|maxmemory", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|MAXMEMORY|1|hz|10", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|hz|10|hz|11|maxmemory-policy|allkeys-lru", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|min-replicas-to-write|3", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|min-slaves-to-write|3", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|client-output-buffer-limit|normal 1 1 1", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|repl-timeout|1|hz|10", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|repl-backlog-size|1", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|timeout|1", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|dir|/tmp", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|shutdown-on-sigterm|nosave", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|masterauth|x", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|proto-max-bulk-len|1048576", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|replica-priority|0", want: []string{"-DENIED"}},
		{sends: "CONFIG|SET|notify-keyspace-events|KEA", want: []string{"+OK"}},
		{sends: "CONFIG|SET|slowlog-log-slower-than|10000", want: []string{"+OK"}},
		{sends: "CONFIG SET|maxmemory|1", want: []string{"-ERR unknown command"}},
		{sends: "CONFIG|SET|hz|10\nCONFIG|SET|x|maxmemory|1"},
		{sends: "=CONFIG SET hz 10\r\n*4\r\n$10\r\nCONFIG|SET\r\n$3\r\nset\r\n$9\r\nmaxmemory\r\n$1\r\n1\r\n"},
		{sends: "=*1\r\n$10\r\nFLUSHALL\r\n\r\n"}, {sends: "= FLUSHALL\r\n"},
		{sends: `>"FLUSH\x41LL"`, want: []string{"-DENIED"}},
		{sends: `>FLUSH"ALL"`}, {sends: `>"FLUSH"ALL`}, {sends: `>'FLUSHALL' "ASYNC"`},
		{sends: `>"\x66\x6c\x75\x73\x68\x61\x6c\x6c" async`, want: []string{"-DENIED"}},
		{sends: ">\"FLUSHALL\\x00\"", want: nil}, {sends: ">SET a \"\\\"\r\nFLUSHALL\r\n"},
		{sends: "=*2\r\n$3\r\nGET\r\n$13\r\nx\r\nFLUSHALL\r\n\r\n"},
		{sends: "=*2\r\n$3\r\nGET\r\n$-1\r\nFLUSHALL\r\n"},
		{sends: "\xc6LUSHALL", want: []string{"-ERR unknown command"}},
		{sends: "\u017f\u017f", want: []string{"-ERR unknown command"}},
	}}
	w.run(t)
}
