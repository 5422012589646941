package proxy_test

import (
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// copies is what a user default may be restricted to, each with what it may still do and what not.
// The guard's user must have the same limits, whatever kind of right they are about.
var copies = []struct {
	name string
	acl  []string
	only string // the kinds of servers that know it; "": all
	may  [][]string
	not  [][]string
}{
	{name: "keys", acl: []string{"resetkeys", "~app:*"},
		may: [][]string{{"set", "app:1", "x"}}, not: [][]string{{"get", "other"}}},
	{name: "read and write", acl: []string{"resetkeys", "%R~r:*", "%W~w:*"},
		may: [][]string{{"get", "r:1"}, {"set", "w:1", "x"}},
		not: [][]string{{"set", "r:1", "x"}, {"get", "w:1"}, {"copy", "w:1", "w:2"}}},
	{name: "channels", acl: []string{"resetchannels", "&news"},
		may: [][]string{{"publish", "news", "x"}}, not: [][]string{{"publish", "other", "x"}}},
	{name: "no channels", acl: []string{"resetchannels"}, not: [][]string{{"publish", "a", "x"}}},
	{name: "a command less", acl: []string{"-incr"},
		may: [][]string{{"get", "k"}}, not: [][]string{{"incr", "n"}}},
	{name: "commands by name", acl: []string{"-@all", "+eval", "+get", "+select"},
		may: [][]string{{"get", "k"}}, not: [][]string{{"set", "k", "x"}, {"config", "get", "x"}}},
	{name: "categories", acl: []string{"+@all", "-@list", "+llen"},
		may: [][]string{{"llen", "l"}}, not: [][]string{{"lpush", "l", "x"}}},
	{name: "subcommands", acl: []string{"-object", "+object|encoding"},
		may: [][]string{{"object", "encoding", "k"}}, not: [][]string{{"object", "freq", "k"}}},
	{name: "without a subcommand", acl: []string{"-object|freq"},
		may: [][]string{{"object", "encoding", "k"}}, not: [][]string{{"object", "freq", "k"}}},
	{name: "selectors", acl: []string{"resetkeys", "~app:*", "(+get ~read:*)", "(+set %W~log:*)"},
		may: [][]string{{"get", "read:1"}, {"set", "log:1", "x"}},
		not: [][]string{{"set", "read:1", "x"}, {"get", "log:1"}}},
	{name: "databases of a select", acl: []string{"-select", "+select|1"},
		may: [][]string{{"select", "1"}}, not: [][]string{{"select", "0"}, {"select", "2"}}},
	{name: "databases", acl: []string{"resetdbs", "db=0"}, only: "valkey9",
		may: [][]string{{"get", "k"}}, not: [][]string{{"select", "1"}, {"move", "k", "1"}}},
	{name: "databases of a selector", acl: []string{"resetdbs", "db=0", "(+@all ~* db=2)"},
		only: "valkey9", may: [][]string{{"get", "k"}}, not: [][]string{{"select", "1"}}},
	{name: "no databases but one", acl: []string{"resetdbs", "db=0,3", "-lpush"}, only: "valkey9",
		may: [][]string{{"select", "3"}}, not: [][]string{{"select", "1"}, {"lpush", "l", "x"}}},
}

func TestGuardHasNoRightMore(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			srv.MustDo("ACL", "SETUSER", "root", "on", ">x", "~*", "&*", "+@all")
			srv.MustDo("SET", "k", "v")
			as := func(o *proxy.Options) { o.Upstream.Username, o.Upstream.Password = "root", "x" }
			root := srv.Client()
			for _, rules := range [][]string{{"flushall"}, {"flushall", "config|set", "keys"}} {
				addr := serve(t, srv.Addr, withGuard, as, withRules(rule("deny", rules...)))
				for _, row := range copies {
					if row.only != "" && row.only != bin.Kind {
						continue
					}
					acl := append([]string{"ACL", "SETUSER", "default", "reset", "on", "nopass",
						"+@all", "~*", "&*"}, row.acl...)
					if err := root.Do(t.Context(), "AUTH", "root", "x").Err(); err != nil {
						t.Fatal(err)
					}
					c := dial(t, addr)
					c.send(proxytest.Command("AUTH", "root", "x"))
					c.expect("+OK\r\n")
					c.send(proxytest.Command(acl...))
					c.expect("+OK\r\n")
					checkCopy(t, row.name, addr, row.may, row.not)
				}
			}
		})
	}
}

func checkCopy(t *testing.T, name, addr string, may, not [][]string) {
	t.Helper()
	settled := func(words []string) (got string) {
		proxytest.Poll(t, "the guard stands: "+name, func() bool {
			got = dial(t, addr).eval(words...)
			return !strings.HasPrefix(got, "-DENIED 'eval'") && !strings.HasPrefix(got, "-UPSTREAM")
		})
		return got
	}
	for _, words := range not {
		proxytest.Poll(t, name+" may not "+strings.Join(words, " "), func() bool {
			return settled(words)[0] == '-'
		})
	}
	for _, words := range may {
		proxytest.Poll(t, name+" may "+strings.Join(words, " "), func() bool {
			return settled(words)[0] != '-'
		})
	}
}
