package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// conditional is the table test of what rules ask for beyond the command.
var conditional = []struct {
	name  string
	rules string
	want  []string
}{
	{"users", "a: deny flushall users=app,batch-*", []string{
		"FLUSHALL -> allow", "user=app FLUSHALL -> deny a", "user=batch-7 FLUSHALL -> deny a",
		"user=APP FLUSHALL -> allow", "user=batch FLUSHALL -> allow",
		"nobody FLUSHALL -> deny a", "user=app GET k -> allow",
	}},
	{"arguments", "a: deny config|set args=maxmemory*,SAVE\nb: allow config|set args=notify*,k*", []string{
		"CONFIG SET notify-keyspace-events KEA -> allow b", "CONFIG SET hz 10 -> allow",
		"CONFIG SET notify-keyspace-events x -> allow", "config set MaxMemory 1 -> deny a",
		"CONFIG SET hz 10 maxmemory-policy allkeys-lru -> deny a", "CONFIG SET save x -> deny a",
		"CONFIG SET -> allow", "CONFIG SET maxmemor 1 -> allow", "CONFIG GET maxmemory -> allow",
	}},
	{"arguments of code", "a: deny publish args=secret*", []string{
		"PUBLISH x secret-1 -> deny a", "PUBLISH x y -> allow",
	}},
	{"a time in the past, of SET", "a: deny del\nb: trash flushall", []string{
		"SET k v -> allow", "SET k v EX 10 -> allow", "SET k v PXAT 1 -> deny a",
		"SET k v NX EXAT 1 -> deny a", "SET k v PXAT 99999999999999 -> allow",
		"RESTORE k 0 x REPLACE -> allow", "RESTORE k 5 x ABSTTL -> deny a",
	}},
	{"a time in the past, of SET beside its own rules", "a: deny del\nb: deny set keys=pay:*", []string{
		"SET k v -> allow", "SET pay:1 v -> deny b", "SET k v PXAT 1 -> deny a",
		"SET pay:1 v PXAT 1 -> deny a",
	}},
	{"users that may", "a: allow flushall users=admin\nb: deny flushall", []string{
		"FLUSHALL -> deny b", "user=admin FLUSHALL -> allow a", "nobody FLUSHALL -> deny b",
		"user=admin2 FLUSHALL -> deny b",
	}},
	{"addresses", "a: allow @dangerous addr=10.0.0.0/8,::1,unix\nb: deny @dangerous", []string{
		"KEYS * -> deny b", "addr=10.9.8.7 KEYS * -> allow a", "addr=11.0.0.1 KEYS * -> deny b",
		"addr=::1 KEYS * -> allow a", "addr=::2 KEYS * -> deny b", "addr=unix KEYS * -> allow a",
		"addr=::ffff:10.0.0.1 KEYS * -> allow a", "addr=::1%eth0 KEYS * -> allow a",
	}},
	{"addresses without unix", "a: deny keys addr=0.0.0.0/0,::/0", []string{
		"KEYS * -> deny a", "addr=::2 KEYS * -> deny a", "addr=unix KEYS * -> allow",
	}},
	{"client names", `a: deny get names=[bB]atch*` + "\nb: deny set names=,x", []string{
		"GET k -> allow", "name=batch GET k -> deny a", "name=Batch-1 GET k -> deny a",
		"SET k v -> deny b", "name=x SET k v -> deny b", "name=y SET k v -> allow",
	}},
	{"listeners", "a: deny @write listeners=127.0.0.1:6380,unix:/run/h.sock", []string{
		"SET k v -> allow", "listener=127.0.0.1:6380 SET k v -> deny a",
		"listener=unix:/run/h.sock SET k v -> deny a", "listener=127.0.0.1:638 SET k v -> allow",
	}},
	{"all conditions must hold", "a: deny del users=app addr=10.0.0.0/8 dbs=1 keys=x*", []string{
		"user=app addr=10.0.0.1 db=1 DEL x1 -> deny a", "addr=10.0.0.1 db=1 DEL x1 -> allow",
		"user=app db=1 DEL x1 -> allow", "user=app addr=10.0.0.1 DEL x1 -> allow",
		"user=app addr=10.0.0.1 db=1 DEL y1 -> allow",
	}},
	{"databases", "a: deny @write eval dbs=5", []string{
		"SET k v -> allow", "db=5 SET k v -> deny a", "db=5 GET k -> allow",
		"db=5 FLUSHDB -> deny a", "FLUSHDB -> allow", "FLUSHALL -> deny a",
		"SWAPDB 0 5 -> deny a", "SWAPDB 5 0 -> deny a", "SWAPDB 0 1 -> allow",
		"db=5 SWAPDB 0 1 -> allow", "SWAPDB 0 05 -> deny a", "MOVE k 5 -> deny a",
		"MOVE k 6 -> allow", "db=5 MOVE k 6 -> deny a", "COPY a b DB 5 -> deny a",
		"COPY a b REPLACE db 5 -> deny a", "COPY a b DB 5 DB 6 -> allow", "COPY a b -> allow",
		"EVAL s 0 -> deny a",
	}},
	{"databases that may", "a: allow @write dbs=5,6\nb: deny @write", []string{
		"SET k v -> deny b", "db=5 SET k v -> allow a", "FLUSHALL -> deny b",
		"db=5 FLUSHALL -> deny b", "db=6 FLUSHDB -> allow a", "SWAPDB 5 6 -> allow a",
		"SWAPDB 5 0 -> deny b", "db=5 MOVE k 0 -> deny b", "db=5 MOVE k 6 -> allow a",
		"MOVE k 5 -> deny b", "db=5 COPY a b DB 0 -> deny b", "db=5 COPY a b -> allow a",
	}},
	{"another database by SELECT", "a: deny select dbs=5", []string{
		"SELECT 5 -> deny a", "SELECT 4 -> allow", "SELECT 05 -> deny a", "SELECT -> deny a",
	}},
	{"keys: one is enough to restrict", "a: deny del unlink keys=pay:*,ledger:*", []string{
		"DEL pay:1 -> deny a", "DEL x -> allow", "DEL x y ledger:2 -> deny a", "DEL pay -> allow",
		"DEL PAY:1 -> allow", "UNLINK pay: -> deny a", "DEL -> allow",
	}},
	{"keys: all are needed to allow", "a: allow del keys=tmp:*\nb: deny del", []string{
		"DEL tmp:1 -> allow a", "DEL tmp:1 tmp:2 -> allow a", "DEL tmp:1 pay:1 -> deny b",
		"DEL pay:1 tmp:1 -> deny b", "DEL -> deny b",
	}},
	{"keys: a mild rule is no cover", "a: rewrite del keys=tmp:*\nb: trash del keys=*:old\n" +
		"c: deny del", []string{
		"DEL tmp:1 -> rewrite a", "DEL x:old -> trash b", "DEL tmp:1 x:old -> trash b",
		"DEL x:old tmp:1 -> trash b", "DEL tmp:1 x:old pay -> deny c", "DEL tmp:old -> rewrite a",
	}},
	{"keys that a request does not name",
		"a: deny @write @keyspace eval fcall keys=pay:*\nb: deny get keys=x", []string{
			"FLUSHALL -> deny a", "FLUSHDB -> deny a", "KEYS x* -> deny a", "SWAPDB 0 1 -> deny a",
			"EVAL s 0 -> deny a", "EVAL s 1 x -> deny a", "FCALL f 0 -> deny a",
			"RANDOMKEY -> deny a", "SORT k BY w_* STORE d -> deny a", "SORT k STORE d -> allow",
			"SORT k STORE pay:1 -> deny a", "RENAME a pay:1 -> deny a", "RENAME pay:1 a -> deny a",
			"RESTORE pay:1 0 x REPLACE -> deny a", "COPY a pay:1 REPLACE -> deny a",
			`MIGRATE h 1 "" 0 9 KEYS a pay:1 -> deny a`, "MIGRATE h 1 a 0 9 -> allow",
			"ZUNIONSTORE pay:9 1 a -> deny a", "GET y -> allow",
		}},
	{"keys that a request does not name are not allowed", "a: allow * keys=tmp:*\nb: deny *", []string{
		"GET tmp:1 -> allow a", "PING -> deny b", "FLUSHALL -> deny b", "EVAL s 1 tmp:1 -> deny b",
		"NOSUCH tmp:1 -> deny b", "MSET tmp:1 v tmp:2 v -> allow a", "MSET tmp:1 v x v -> deny b",
	}},
	{"commands without keys", "a: deny * keys=pay:*", []string{
		"PING -> allow", "INFO -> allow", "SUBSCRIBE pay:1 -> allow", "NOSUCH pay:1 -> deny a",
		"CONFIG SET a pay:1 -> allow", "GET pay:1 -> deny a", "SCAN 0 -> deny a",
	}},
	{"number of keys", "a: deny del mget eval keys flushall over=2", []string{
		"DEL a b -> allow", "DEL a b c -> deny a", "DEL a a a -> deny a", "MGET a b c -> deny a",
		"FLUSHALL -> deny a", "KEYS * -> deny a", "EVAL s 0 -> deny a",
	}},
	{"number of keys to allow", "a: allow mget eval over=2\nb: deny mget eval", []string{
		"MGET a b -> deny b", "MGET a b c -> allow a", "EVAL s 0 -> deny b",
		"EVAL s 3 a b c -> allow a",
	}},
	{"opaque code", "a: deny @scripting scripts=opaque", []string{
		"EVAL s 0 -> deny a", "code=clear EVAL s 0 -> allow", "code=opaque EVAL s 0 -> deny a",
		"EVALSHA abc 0 -> deny a", "code=clear EVALSHA abc 0 -> allow", "FCALL f 0 -> deny a",
		"code=opaque SCRIPT LOAD s -> deny a", "code=clear FUNCTION LOAD x -> allow",
		"FUNCTION RESTORE x -> deny a", "SCRIPT FLUSH -> allow", "FUNCTION LIST -> allow",
		"EVAL_RO s 0 -> deny a", "code=opaque FCALL_RO f 0 -> deny a",
	}},
	{"opaque code that may", "a: allow eval scripts=opaque users=admin\nb: deny eval", []string{
		"user=admin code=opaque EVAL s 0 -> allow a", "code=opaque EVAL s 0 -> deny b",
		"user=admin code=clear EVAL s 0 -> deny b",
	}},
	{"a time in the past deletes", "a: deny del keys=pay:*", []string{
		"EXPIRE pay:1 0 -> deny a", "EXPIRE pay:1 -1 -> deny a", "EXPIRE pay:1 1 -> allow",
		"PEXPIRE pay:1 -5 NX -> deny a", "EXPIREAT pay:1 1 -> deny a", "EXPIRE x 0 -> allow",
		"EXPIREAT pay:1 1700000000 -> deny a", "EXPIREAT pay:1 1700000001 -> allow",
		"PEXPIREAT pay:1 1700000000000 -> deny a", "PEXPIREAT pay:1 1700000000001 -> allow",
		"notime PEXPIREAT pay:1 1700000000001 -> deny a", "notime EXPIREAT pay:1 -1 -> deny a",
		"GETEX pay:1 EXAT 1 -> deny a", "GETEX pay:1 PXAT 1700000000001 -> allow",
		"GETEX pay:1 PERSIST -> allow", "GETEX pay:1 -> allow", "EXPIRE pay:1 x -> allow",
		"EXPIRE pay:1 99999999999999999999 -> allow", "EXPIRE pay:1 -9223372036854775808 -> deny a",
		"EXPIRE pay:1 -0 -> allow", "EXPIRE pay:1 00 -> allow", "PERSIST pay:1 -> allow",
	}},
	{"a time in the past, with a rule of its own", "a: allow expire\nb: deny del\nc: trash pexpire",
		[]string{"EXPIRE k 0 -> allow a", "PEXPIRE k 0 -> deny b", "PEXPIRE k 9 -> trash c"}},
	{"a time in the past is not rewritten", "a: rewrite del\nb: deny del", []string{
		"DEL k -> rewrite a", "EXPIRE k 0 -> deny b", "EXPIRE k 1 -> allow"}},
	{"trash", "a: trash flushall flushdb del unlink getdel rename restore copy expire getex keep=1h",
		[]string{"FLUSHALL -> trash a", "DEL a b -> trash a", "RESTORE k 0 x -> trash a"}},
	{"observed, by key", "a: deny del keys=pay:* observe\nb: deny del keys=ledger:*", []string{
		"DEL pay:1 -> deny(observed) a", "DEL ledger:1 -> deny b",
		"DEL pay:1 ledger:1 -> deny b shadow=a", "DEL ledger:1 pay:1 -> deny b shadow=a",
		"DEL x -> allow", "DEL x pay:1 -> deny(observed) a",
	}},
	{"observed, allowed and neither", "a: deny del keys=pay:* observe\nb: allow del keys=tmp:*",
		[]string{"DEL pay:1 tmp:1 -> allow b shadow=a", "DEL tmp:1 pay:1 -> allow b shadow=a",
			"DEL x tmp:1 -> allow b", "DEL tmp:1 x -> allow b"}},
	{"doubt does not hide what is stricter below", "a: trash del copy keys=tmp:*\n" +
		"b: confirm copy keys=x*\nc: deny copy users=app", []string{
		"COPY a b -> allow", "user=app COPY a b -> deny c", "COPY x b -> confirm b",
		"nobody COPY tmp:1 b -> deny c", "nobody COPY a b -> deny c",
	}},
	{"among rules alike the first one is named", "a: deny del keys=x*\nb: deny del keys=y*",
		[]string{"DEL y1 x1 -> deny a", "DEL x1 y1 -> deny a"}},
	{"a limit is stricter than none", "a: allow del keys=x*\nb: allow del keys=y* limit=1/m",
		[]string{"DEL x1 y1 -> allow b", "DEL y1 x1 -> allow b", "DEL x1 -> allow a"}},
	{"every glob", `a: deny get keys=h?llo,[a-c]x,[^0-9]9,\*,a*b*c,*end,` + "\nb: deny get keys=q**",
		[]string{"GET hello -> deny a", "GET hllo -> allow", "GET bx -> deny a", "GET dx -> allow",
			"GET z9 -> deny a", "GET 19 -> allow", "GET * -> deny a", "GET x -> allow",
			"GET axxbyyc -> deny a", "GET axxbyy -> allow", "GET theend -> deny a",
			`GET "" -> deny a`, "GET q -> deny b"}},
}

func TestConditions(t *testing.T) {
	for _, tt := range conditional {
		t.Run(tt.name, func(t *testing.T) {
			runVerdicts(t, mustNew(t, Options{Rules: parseRules(t, tt.rules)}), tt.want)
		})
	}
}

func TestConditionErrors(t *testing.T) {
	for _, tt := range []struct{ rules, want string }{
		{"a: deny get users=", `rule "a": users: must not be empty`},
		{"a: deny get listeners=x,", `rule "a": listeners: must not be empty`},
		{"a: deny get addr=10.0.0.1/8", `rule "a": addresses: 10.0.0.1/8 has bits beyond its ` +
			`length: did you mean 10.0.0.0/8?`},
		{"a: deny get addr=localhost", `rule "a": addresses: want an address, a prefix ` +
			`("10.0.0.0/8") or unix, got "localhost"`},
		{"a: deny get addr=fe80::1%eth0", `rule "a": addresses: want an address, a prefix ` +
			`("10.0.0.0/8") or unix, got "fe80::1%eth0"`},
		{"a: deny get addr=::ffff:10.0.0.1", `rule "a": addresses: write the IPv4 address ` +
			`itself, not "::ffff:10.0.0.1"`},
		{"a: deny get dbs=0,-1", `rule "a": databases: must not be negative, got -1`},
		{"a: deny get over=-1", `rule "a": keys_over: must not be negative, got -1`},
		{"a: deny get scripts=clear", `rule "a": scripts: want opaque, got "clear"`},
		{"a: deny get keep=1h", `rule "a": keep: only a rule with the action trash keeps anything`},
		{"a: trash del keep=-1h", `rule "a": keep: must not be negative, got -1h0m0s`},
		{"a: deny get limit=1", `rule "a": limit.rate: want a number per time such as 1/m or ` +
			`5/10s, got "1"`},
		{"a: deny get limit=1/s,-1", `rule "a": limit.burst: want 1 to 2305843009, got -1`},
		{"a: deny get limit=1/d,99999999", `rule "a": limit.burst: want 1 to 26687, got 99999999`},
		{"a: deny get limit=1/s,1,group", `rule "a": limit.per: want global, user, address or ` +
			`session, got "group"`},
		{"a: trash flushall shutdown", `rule "a": action: trash is not possible for shutdown`},
		{"a: trash *", `rule "a": action: trash is not possible for unknown commands, acl, ` +
			`acl|cat and 382 more`},
		{"a: rewrite keys get", `rule "a": action: rewrite is not possible for get`},
	} {
		_, err := New(Options{Rules: parseRules(t, tt.rules)})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\ngot:  %v\nwant: %s", tt.rules, err, tt.want)
		}
	}
}

func TestRuleFields(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "a: trash del limit=10/m,3,user\n"+
		"b: trash unlink keep=1h\nc: deny get\nd: deny get users=x\ne: rewrite keys")})
	a := p.Rules()[0]
	if a.Keep != DefaultKeep || a.Limit.Interval.Seconds() != 6 || a.Limit.Burst != 3 ||
		a.Limit.Per != PerUser {
		t.Errorf("%+v %+v", a, a.Limit)
	}
	if b := p.Rules()[1]; b.Keep.Hours() != 1 || b.Limit != nil {
		t.Errorf("%+v", b)
	}
	if idle := p.Idle(); len(idle) != 1 || idle[0].Name != "d" {
		t.Errorf("idle: %v", idle)
	}
}

// TestConditionsDoNotAllocate has every condition at work.
func TestConditionsDoNotAllocate(t *testing.T) {
	for _, tt := range conditional {
		p := mustNew(t, Options{Rules: parseRules(t, tt.rules)})
		var requests []*Request
		for _, row := range tt.want {
			line, _, _ := strings.Cut(row, " -> ")
			requests = append(requests, parseRequest(t, p, line))
		}
		if n := testing.AllocsPerRun(100, func() {
			for _, req := range requests {
				p.Decide(req)
			}
		}); n > 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// FuzzDecideKeys holds any rules on keys to what Policy says of several keys: a request gets the
// strictest of what each key alone would get, in whatever order they come.
func FuzzDecideKeys(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08"), "a b pay:1 tmp:2")
	f.Add([]byte("\x04\x01\x00\x02\x02\x03\x03\x01\x00"), "x")
	f.Fuzz(func(t *testing.T, program []byte, names string) {
		m := &replyMaker{program}
		var rules []RuleSpec
		for i := range 1 + m.below(6) {
			r := RuleSpec{Name: string(rune('a' + i)), Commands: []string{"del"},
				Action: actionNames[m.below(len(actionNames))]}
			for range m.below(3) {
				r.Keys = append(r.Keys, []string{"*", "a*", "*b", "?", "[a-m]*", "x"}[m.below(6)])
			}
			if m.below(4) == 0 {
				r.Users = []string{[]string{"default", "other"}[m.below(2)]}
			}
			if m.below(5) == 0 {
				r.Enforcement = Observe
			}
			rules = append(rules, r)
		}
		p := mustNew(t, Options{Rules: rules})
		keys := strings.Fields(names)
		if len(keys) == 0 || len(keys) > 20 {
			return
		}
		decide := func(keys []string) Verdict {
			args := [][]byte{[]byte("DEL")}
			for _, key := range keys {
				args = append(args, []byte(key))
			}
			return p.Decide(&Request{Cmd: p.Table().ByName("del"), Args: args,
				Client: NewClient(Identity{User: "default"})})
		}
		strictest := 0
		for _, key := range keys {
			strictest = max(strictest, decide([]string{key}).rank())
		}
		v := decide(keys)
		if v.rank() != strictest {
			t.Errorf("%q under %+v: %s, and one key alone has rank %d", keys, rules, show(v), strictest)
		}
		slices.Reverse(keys)
		if w := decide(keys); show(w) != show(v) {
			t.Errorf("%q under %+v: %s, and backwards %s", keys, rules, show(w), show(v))
		}
	})
}

// FuzzRuleFields puts any text into the parsed fields. Accepted rules must be sound.
func FuzzRuleFields(f *testing.F) {
	f.Add("10.0.0.0/8", "1/m", "user", "opaque", 1, 0)
	f.Add("::ffff:1.2.3.4/96", "5/10s", "", "", 1<<40, -1)
	f.Add("fe80::1%x/64", "9223372036854775807/1ns", "global", "OPAQUE", -1, 1)
	f.Fuzz(func(t *testing.T, addr, rate, per, scripts string, burst, over int) {
		spec := RuleSpec{Name: "r", Commands: []string{"eval"}, Action: "deny",
			Addresses: []string{addr}, Scripts: scripts, KeysOver: over,
			Limit: &LimitSpec{Rate: rate, Burst: burst, Per: per}}
		p, err := New(Options{Rules: []RuleSpec{spec}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), `rule "r": `) {
				t.Errorf("%v", err)
			}
			return
		}
		l := p.Rules()[0].Limit
		if l.Interval <= 0 || l.Burst < 1 || l.Interval > maxDebt/time.Duration(l.Burst) {
			t.Errorf("%q, %d: %+v", rate, burst, l)
		}
		client := NewClient(Identity{Addr: netip.MustParseAddr("10.0.0.1")})
		p.Decide(&Request{Cmd: p.Table().ByName("eval"), Args: split("EVAL s 0"), Client: client})
	})
}
