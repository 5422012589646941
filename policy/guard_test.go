package policy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

func mustGuard(t testing.TB, p *Policy, o GuardOptions) *Guard {
	t.Helper()
	g, err := p.Guard(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// showGuard writes "permissions; gaps: command rule, ...".
func showGuard(g *Guard) string {
	text := strings.Join(g.Permissions(), " ")
	var gaps []string
	for _, gap := range g.Gaps {
		gaps = append(gaps, gap.Command.Name+" "+gap.Rule.Name)
	}
	if len(gaps) > 0 {
		text += "; gaps: " + strings.Join(gaps, ", ")
	}
	return text
}

var guards = []struct {
	name, rules string
	options     GuardOptions
	want        string
}{
	{"no rules", "", GuardOptions{}, "+@all"},
	{"commands", "a: deny flushall flushdb\nb: trash unlink", GuardOptions{},
		"+@all -flushall -flushdb -unlink"},
	{"subcommands", "a: deny config|set module", GuardOptions{}, "+@all -config|set -module"},
	{"a container less one", "a: deny config except config|get config|help", GuardOptions{},
		"+@all -config +config|get +config|help"},
	{"the first match decides", "a: allow flushdb\nb: deny flushall flushdb", GuardOptions{},
		"+@all -flushall"},
	{"confirm too", "a: confirm flushall", GuardOptions{}, "+@all -flushall"},
	{"rewritten: only what stalls", "a: rewrite keys save del flushall", GuardOptions{},
		"+@all -keys -save"},
	{"observed", "a: deny flushall observe", GuardOptions{}, "+@all"},
	{"other users", "a: deny flushall users=app\nb: deny flushdb users=b*", GuardOptions{User: "bob"},
		"+@all -flushdb"},
	{"users that may", "a: allow flushall users=admin\nb: deny flushall", GuardOptions{User: "admin"},
		"+@all"},
	{"users that may not", "a: allow flushall users=admin\nb: deny flushall", GuardOptions{User: "x"},
		"+@all -flushall"},
	{"conditions on whole commands", "a: deny flushall listeners=x\nb: deny config|set addr=unix\n" +
		"c: deny flushdb keys dbs=1", GuardOptions{}, "+@all -config|set -flushall -flushdb -keys"},
	{"allowed under conditions", "a: allow flushall addr=unix\nb: deny flushall", GuardOptions{},
		"+@all -flushall"},
	{"conditions on keys", "a: deny unlink keys=pay:*", GuardOptions{}, "+@all; gaps: unlink a"},
	{"conditions on keys, strictly", "a: deny unlink keys=pay:*", GuardOptions{Strict: true},
		"+@all -unlink"},
	{"times", "a: deny del", GuardOptions{}, "+@all -del -delifeq; gaps: expire a, expireat a, " +
		"getex a, msetex a, pexpire a, pexpireat a, restore a, restore-asking a, set a"},
	{"opaque", "a: deny eval scripts=opaque", GuardOptions{}, "+@all; gaps: eval a"},
	{"a limit", "a: allow flushall limit=1/m", GuardOptions{}, "+@all; gaps: flushall a"},
	{"needed", "a: deny select ping", GuardOptions{Need: []string{"SELECT"}},
		"+@all -ping; gaps: select a"},
	{"everything but", "a: deny * except get config|get script", GuardOptions{},
		"-@all +auth +config|get +get +hello +quit +reset +script; " +
			"gaps: auth a, hello a, quit a, reset a"},
}

func TestGuard(t *testing.T) {
	for _, tt := range guards {
		p := mustNew(t, Options{Rules: parseRules(t, tt.rules)})
		if got := showGuard(mustGuard(t, p, tt.options)); got != tt.want {
			t.Errorf("%s:\ngot:  %s\nwant: %s", tt.name, got, tt.want)
		}
	}
	p := mustNew(t, Options{})
	if _, err := p.Guard(GuardOptions{Need: []string{"nosuch"}}); err == nil {
		t.Error("an unknown command is needed")
	}
}

func TestRestrict(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny config except config|get\n"+
		"b: deny flushall module")})
	g := mustGuard(t, p, GuardOptions{})
	want := "ACL SETUSER bob -config|help -config|resetstat -config|rewrite -config|set " +
		"-flushall -module"
	if got := strings.Join(g.Restrict("bob"), " "); got != want {
		t.Errorf("got:  %s\nwant: %s", got, want)
	}
	if mustGuard(t, mustNew(t, Options{}), GuardOptions{}).Restrict("x") != nil {
		t.Error("restricts nothing")
	}
	if !g.Refuses(p.Table().ByName("flushall")) || g.Refuses(p.Table().ByName("get")) {
		t.Error("Refuses")
	}
}

// TestServerGuard sets real users up by the rules and compares the server's answers, command by
// command and inside a script, with the guard.
func TestServerGuard(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		table := serverTable(t, srv)
		for _, tt := range guards {
			p := mustNew(t, Options{Table: table, Rules: parseRules(t, tt.rules)})
			g := mustGuard(t, p, tt.options)
			checkGuard(t, srv, tt.name, table, g)
		}
		p := mustNew(t, Options{Table: table, Rules: DefaultRules()})
		checkGuard(t, srv, "default rules", table, mustGuard(t, p, GuardOptions{}))
	})
}

func checkGuard(t *testing.T, srv *proxytest.Server, name string, table *Table, g *Guard) {
	t.Helper()
	ctx, client := context.Background(), srv.Client()
	set := g.SetUser("guarded", fmt.Sprintf("%x", sha256.Sum256([]byte("pw"))))
	pipe := client.Pipeline()
	pipe.Do(ctx, anys(set)...)
	cmds := table.All()[1:]
	for _, cmd := range cmds {
		pipe.Do(ctx, anys(DryRun("guarded", cmd))...)
	}
	replies, _ := pipe.Exec(ctx)
	if err := replies[0].Err(); err != nil {
		t.Fatalf("%s: %q: %v", name, set, err)
	}
	for i, cmd := range cmds {
		if cmd.IsContainer() {
			continue // not a command that could be tried
		}
		text := fmt.Sprintf("%v %v", replies[i+1].(*redis.Cmd).Val(), replies[i+1].Err())
		if allowed := text == "OK <nil>"; allowed == g.Refuses(cmd) {
			t.Errorf("%s: %s: the guard refuses it: %v, the server says %s", name, cmd.Name,
				g.Refuses(cmd), text)
		}
	}
	if g.Refuses(table.ByName("flushall")) && !g.Refuses(table.ByName("eval")) {
		network, address := srv.NetAddr()
		user := redis.NewClient(&redis.Options{Network: network, Addr: address, Username: "guarded",
			Password: "pw", MaxRetries: -1, DisableIdentity: true, Protocol: 2})
		defer user.Close()
		err := user.Eval(ctx, "return redis.call('flush' .. 'all')", nil).Err()
		if err == nil || !strings.Contains(err.Error(), "permission") &&
			!strings.Contains(err.Error(), "can't run this command") {
			t.Errorf("%s: inside a script: %v", name, err)
		}
	}
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}
