package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The shortcut never differs from the full judgement, whatever the rules.
func TestShortcutAgrees(t *testing.T) {
	rules := []string{
		"deny @write keys=pay:*", "deny @write keys=ledger:*:closed,x", "allow set keys=*",
		"deny set get keys=*:gold", "deny @all users=bob", "allow @write names=import-*", "deny get dbs=3",
		"deny @write dbs=1,3 keys=p*", "confirm del expire keys=k?y", "deny mset over=1", "trash del keys=[pk]*",
		"deny @read addr=10.0.0.0/8", `deny set keys=""`, "deny @all scripts=opaque", "deny set observe",
		"allow set limit=1/s", "deny @write dbs=5 except set", `deny set keys=\*x`, "deny copy move keys=pay:*",
	}
	requests := []string{
		"GET pay:1", "SET pay:1 v", "SET ledger:7:closed v", "SET ledger:7:open v", "SET x v", "SET x",
		"SET", "GET", `SET "" v`, `GET ""`, "SET a:gold v", "GET key", "DEL key", "DEL a key", "DEL",
		"MSET a 1 pay:1 2", "MSET a 1", "EXPIRE key -1", "EXPIRE key 100", "COPY pay:1 b DB 3", "MOVE pay:1 3",
		"EVAL s 1 pay:1", "FLUSHALL", "PING", "SET *x v", "SET pay:1 v GET", "INCR pay:1", "SORT pay:1 BY n",
	}
	who := []string{"", "user=bob ", "name=import-7 ", "addr=10.1.1.1 ", "db=3 ", "db=1 user=bob ", "nobody "}
	random := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 400 {
		var text strings.Builder
		for i := range 1 + random.IntN(6) {
			fmt.Fprintf(&text, "r%d: %s\n", i, rules[random.IntN(len(rules))])
		}
		p := mustNew(t, Options{Rules: parseRules(t, text.String())})
		for _, line := range requests {
			for _, w := range who {
				req := parseRequest(t, p, w+line)
				d := &p.decisions[req.Cmd.ID]
				if d.candidates == nil {
					continue
				}
				want := d.decideInFull(p, req, req.Cmd)
				if got := p.Decide(req); got != want {
					t.Fatalf("%s%s: %+v, want %+v; rules:\n%s", w, line, got, want, text.String())
				}
				if d.misses(p, req) {
					taken++
				}
			}
		}
	}
	if taken < 1000 {
		t.Errorf("the shortcut was taken %d times", taken)
	}
}
