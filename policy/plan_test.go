package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// TestPlansAgree holds plans to the full judgement, whatever the rules.
func TestPlansAgree(t *testing.T) {
	rules := []string{
		"deny @write keys=pay:*", "deny @write keys=ledger:*:closed,x", "allow set keys=*",
		"deny set get keys=*:gold", "deny @all users=bob", "allow @write names=import-*", "deny get dbs=3",
		"deny @write dbs=1,3 keys=p*", "confirm del expire keys=k?y", "deny mset over=1", "trash del keys=[pk]*",
		"deny @read addr=10.0.0.0/8", `deny set keys=""`, "deny @all scripts=opaque", "deny set observe",
		"allow set limit=1/s", "deny @write dbs=5 except set", `deny set keys=\*x`, "deny copy move keys=pay:*",
		"deny del", "trash del dbs=3", "allow del over=2 keys=p*", "deny @all over=1", "confirm @all keys=pay:*",
		"deny config|set args=a*", "deny @all users=default observe", "allow @all dbs=1", "deny @all dbs=3",
	}
	requests := []string{
		"GET pay:1", "SET pay:1 v", "SET ledger:7:closed v", "SET ledger:7:open v", "SET x v", "SET x",
		"SET", "GET", `SET "" v`, `GET ""`, "SET a:gold v", "GET key", "DEL key", "DEL a key", "DEL", "DEL a b c",
		"MSET a 1 pay:1 2", "MSET a 1", "MSET pay:1", "MSET a 1 pay:1", "EXPIRE key -1", "EXPIRE key 100",
		"COPY pay:1 b DB 3", "COPY a b", "MOVE pay:1 3", "MOVE a x", "SELECT 3", "SWAPDB 1 3", "RENAME a pay:1",
		"EVAL s 1 pay:1", "EVAL s 0", "FLUSHALL", "PING", "SET *x v", "SET pay:1 v GET", "INCR pay:1",
		"SORT pay:1 BY n", "SET a v PXAT 1", "SET pay:1 v PXAT 1", "SET a v EX 100", "GETEX a EXAT 1", "NOSUCH pay:1",
		"RESTORE key 1 v ABSTTL", "RESTORE a 1 v", "SUNIONSTORE a b pay:1", "ZUNIONSTORE a 1 pay:1", "OBJECT FREQ x",
		"PFMERGE a", "CONFIG SET a b", "CONFIG GET b", "BITFIELD pay:1 GET u8 0", "LMOVE a pay:1 LEFT LEFT",
		"XREAD STREAMS pay:1 0", "EXPIREAT a 1", "notime EXPIREAT a 9", "BLPOP pay:1 a 0", "BLPOP a pay:1",
	}
	who := []string{"", "user=bob ", "name=import-7 ", "addr=10.1.1.1 ", "db=3 ", "db=1 user=bob ", "nobody "}
	random := rand.New(rand.NewPCG(1, 2))
	parsed := map[string]*Request{} // once: under the race detector it takes as long as to decide
	bare := mustNew(t, Options{})
	for _, line := range requests {
		for _, w := range who {
			parsed[w+line] = parseRequest(t, bare, w+line)
		}
	}
	told := 0
	for range 600 {
		var text strings.Builder
		for i := range 1 + random.IntN(6) {
			fmt.Fprintf(&text, "r%d: %s\n", i, rules[random.IntN(len(rules))])
		}
		p := mustNew(t, Options{Rules: parseRules(t, text.String())})
		for _, line := range requests {
			for _, w := range who {
				req := parsed[w+line]
				req.AnyDB = false
				d := &p.decisions[req.Cmd.ID]
				if d.candidates == nil || req.Cmd.Name == "" {
					continue
				}
				want := d.decideInFull(p, req, req.Cmd)
				if got := p.Decide(req); got != want {
					t.Fatalf("%s%s: %+v, want %+v; rules:\n%s", w, line, got, want, text.String())
				}
				req.AnyDB = true
				want = d.decideInFull(p, req, req.Cmd)
				if got := p.Decide(req); got != want {
					t.Fatalf("%s%s in any database: %+v, want %+v; rules:\n%s", w, line, got, want,
						text.String())
				}
				if c := req.Client; c != nil && p.viewOf(c, req.DB).plan(d, req.Cmd).tells(req, req.Cmd) {
					told++
				}
			}
		}
	}
	if told < 10000 {
		t.Errorf("plans told of %d requests", told)
	}
}

// TestPlansTell says of which requests plans tell: those that rules are loaded for in vain.
func TestPlansTell(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, fiftyRules)})
	for line, want := range map[string]bool{
		"GET key:1": true, "SET key:1 x": true, "SET key:1 x EX 100": true, "MSET a 1 b 2": true,
		"DEL x": true, "DEL a b d": true, "DEL a lock:1": false, "DEL lo:1": true, "PING": true,
		"EXPIRE x 100": true, "EXPIRE x -1": false, "SET config:a 1": false, "RENAME a b": true,
		"RENAME a config:b": false, "name=import-1 SET a 1": true, "db=4 SET a 1": true,
		"SUNIONSTORE a b c": true, "user=reporting SET a 1": true, "addr=192.0.2.7 DEL lock:1": true,
	} {
		if !strings.Contains(line, "addr=") {
			line = "addr=127.0.0.1 " + line
		}
		req := parseRequest(t, p, line)
		d := &p.decisions[req.Cmd.ID]
		got := d.candidates == nil ||
			p.viewOf(req.Client, req.DB).plan(d, req.Cmd).tells(req, req.Cmd)
		if got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

// TestViews checks that clients of one kind share a view, and that many kinds take no room.
func TestViews(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "a: deny get users=a* dbs=3\nb: deny get names=b")})
	look := func(id Identity, db int) *view { return p.viewOf(NewClient(id), db) }
	c := NewClient(Identity{User: "a1", Session: 1})
	first := p.viewOf(c, 3)
	if first != p.viewOf(c, 3) || first != look(Identity{User: "a2", Session: 2}, 3) {
		t.Error("two of a kind do not share a view")
	}
	for _, other := range []*view{
		p.viewOf(c, 4), look(Identity{User: "b"}, 3), look(Identity{User: "a1", Name: "b"}, 3),
	} {
		if other == first {
			t.Error("clients of different kinds share a view")
		}
	}
	if p.viewOf(c, 4) != p.viewOf(c, 5) || p.viewOf(c, 3) != first {
		t.Error("databases that no rule names do not share a view, or one is lost")
	}

	var text strings.Builder
	for i := range 2 * maxViews {
		fmt.Fprintf(&text, "r%d: deny get names=n%d\n", i, i)
	}
	p = mustNew(t, Options{Rules: parseRules(t, text.String())})
	for i := range 2 * maxViews {
		runVerdicts(t, p, []string{fmt.Sprintf("name=n%d GET k -> deny r%d", i, i)})
		if n := len(p.views.byKey); n > maxViews {
			t.Fatalf("%d views are kept", n)
		}
	}
}

// TestViewsAtOnce has sessions of several loops work the same things out at once.
func TestViewsAtOnce(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, fiftyRules)})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 200 {
				for _, line := range []string{"GET a", "SET a b", "SET config:a b", "DEL a lock:1", "KEYS *"} {
					line := fmt.Sprintf("addr=127.0.0.%d name=import-%d db=%d %s", i, n%2, n%5, line)
					req := parseRequest(t, p, line)
					want := p.decisions[req.Cmd.ID].decideInFull(p, req, req.Cmd)
					if got := p.Decide(req); got != want && p.decisions[req.Cmd.ID].candidates != nil {
						t.Errorf("%s: %s, want %s", line, show(got), show(want))
					}
				}
			}
		})
	}
	wg.Wait()
}
