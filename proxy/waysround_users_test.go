package proxy_test

import (
	"fmt"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Whom a rule with the action trash is not about must not come to the databases of the trash, either.
func TestWaysToTheTrashOfOthers(t *testing.T) {
	t.Parallel()
	for _, guard := range []bool{true, false} {
		t.Run(fmt.Sprint("guard=", guard), func(t *testing.T) {
			w := ways{
				rules:  "trash flushall users=alice",
				change: func(o *proxy.Options) { o.Guard = guard },
				prepare: func(srv *proxytest.Server) {
					for _, name := range []string{"alice", "bob"} {
						srv.MustDo("ACL", "SETUSER", name, "on", ">x", "~*", "&*", "+@all")
					}
				},
			}
			for _, code := range []string{
				"redis.call(ARGV[1], 15) redis.call('hdel', 'holdfast:trash', '1', '2', '3')",
				"local f = redis.call f('select', 8) f('set', 'keep', 'x')",
			} {
				for _, eval := range []string{
					"EVAL|" + code + "|0|select",
					"MULTI\nEVAL|" + code + "|0|select\nEXEC",
					"WATCH|keep\nEVAL|" + code + "|0|select",
					"SCRIPT|LOAD|" + code + "\nEVALSHA|" + shaOf(code) + "|0|select",
					"FUNCTION|LOAD|#!lua name=l\\nredis.register_function('f', function(KEYS, ARGV) " +
						code + " end)\nFCALL|f|0|select",
				} {
					w.rows = append(w.rows,
						way{sends: "AUTH|alice|x\nFLUSHALL\nRESET\n" + eval},
						way{sends: "AUTH|alice|x\nFLUSHALL\nAUTH|bob|x\n" + eval})
				}
			}
			w.run(t)
		})
	}
}
