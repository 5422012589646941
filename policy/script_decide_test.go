package policy

import (
	"strings"
	"testing"
)

// inScripts is the table test of what code can do under rules: "[guarded ]request | source" with
// the verdict. The source stands in for the first argument after the name.
var inScripts = []struct {
	name  string
	rules string
	want  []string
}{
	{"flushes", "flush: deny flushall flushdb", []string{
		"EVAL $ 0 | return 1 -> allow",
		"EVAL $ 0 | redis.call('FLUSHALL') -> deny flush",
		"guarded EVAL $ 0 | redis.call('FLUSHALL') -> deny flush",
		"eval_ro $ 0 | redis.call('flushdb', 'async') -> deny flush",
		"EVALSHA abc 0 | server.pcall('FlushAll') -> deny flush",
		"FCALL f 0 | redis.call('flushall') -> deny flush",
		"SCRIPT LOAD $ | redis.call('flushall') -> deny flush",
		"FUNCTION LOAD $ | redis.call('flushall') -> deny flush",
		"EVAL $ 0 | redis.call('flushall\x00x') -> deny flush",
		"EVAL $ 0 | redis.call('get', 'flushall') -> allow",
		"EVAL $ 0 | redis.call(ARGV[1]) -> deny flush",
		"guarded EVAL $ 0 | redis.call(ARGV[1]) -> allow",
		"EVAL $ 0 | local r = redis -> deny flush",
		"EVALSHA abc 0 -> deny flush", "guarded EVALSHA abc 0 -> allow",
		"FCALL f 0 -> deny flush", "FUNCTION RESTORE x -> deny flush",
		"EVAL_RO $ 0 | redis.call(ARGV[1]) -> allow", // the server refuses writes there
	}},
	{"nothing that destroys is ruled", "a: deny config", []string{
		"EVAL $ 0 | redis.call(ARGV[1]) -> allow",
		"EVAL $ 0 | redis.call('config', 'get', 'x') -> deny a",
	}},
	{"subcommands", "a: deny config|set xgroup|destroy", []string{
		"EVAL $ 0 | redis.call('config', 'set', 'a', 'b') -> deny a",
		"EVAL $ 0 | redis.call('config', 'get', 'a') -> allow",
		"EVAL $ 0 | redis.call('config', ARGV[1]) -> deny a",
		"EVAL $ 0 | redis.call('config', unpack(ARGV)) -> allow", // there are none
		"EVAL $ 0 | redis.call('config', unpack(t)) -> deny a",
		"EVAL $ 0 get x | redis.call('config', ARGV[1], 'x') -> allow",
		"EVAL $ 0 set x y | redis.call('config', unpack(ARGV)) -> deny a",
		"EVAL $ 0 | redis.call('config', f()) -> deny a",
		"EVAL $ 0 | redis.call('config') -> allow",
	}},
	{"keys", "pay: deny del keys=pay:*", []string{
		"EVAL $ 1 lock:a | redis.call('del', KEYS[1]) -> allow",
		"EVAL $ 1 pay:1 | redis.call('del', KEYS[1]) -> deny pay",
		"EVAL $ 2 a pay:1 | redis.call('del', KEYS[1]) -> allow",
		"EVAL $ 2 a pay:1 | redis.call('del', KEYS[2]) -> deny pay",
		"EVAL $ 2 a pay:1 | redis.call('del', unpack(KEYS)) -> deny pay",
		"EVAL $ 2 a b | redis.call('del', unpack(KEYS)) -> allow",
		"EVAL $ 0 pay:1 | redis.call('del', ARGV[1]) -> deny pay",
		"EVAL $ 0 x | redis.call('del', ARGV[1]) -> allow",
		"EVAL $ 0 | redis.call('del', ARGV[1]) -> deny pay",
		"EVAL $ 1 a | redis.call('del', 'pay:' .. KEYS[1]) -> deny pay",
		"EVAL $ 1 a | redis.call('del', 'tmp:1') -> allow",
		"EVAL $ 1 a | KEYS[1] = 'pay:1' redis.call('del', KEYS[1]) -> deny pay",
		"EVAL $ 1 a | redis.call('del', f()) -> deny pay",
		"EVAL $ x a | redis.call('del', KEYS[1]) -> deny pay",
		"EVAL $ 1 a | redis.call('get', 'pay:1') -> allow",
		"SCRIPT LOAD $ | redis.call('del', KEYS[1]) -> allow",
		"SCRIPT LOAD $ | redis.call('del', 'pay:1') -> deny pay",
		"EVALSHA abc 1 pay:1 | redis.call('del', KEYS[1]) -> deny pay",
		"FCALL f 1 a | redis.call('del', k) -> deny pay",
	}},
	{"a time in the past", "pay: deny del keys=pay:*", []string{
		"EVAL $ 1 pay:1 60 | redis.call('expire', KEYS[1], ARGV[1]) -> allow",
		"EVAL $ 1 pay:1 0 | redis.call('expire', KEYS[1], ARGV[1]) -> deny pay",
		"EVAL $ 1 pay:1 | redis.call('expire', KEYS[1], -1) -> deny pay",
		"EVAL $ 1 pay:1 | redis.call('expire', KEYS[1], 60) -> allow",
		"EVAL $ 1 pay:1 | redis.call('expire', KEYS[1], n) -> deny pay",
		"EVAL $ 1 x | redis.call('expire', KEYS[1], n) -> allow",
		"EVAL $ 1 pay:1 | redis.call('getex', KEYS[1], n, m) -> deny pay",
		"EVAL $ 1 pay:1 | redis.call('getex', KEYS[1], 'ex', 5) -> allow",
	}},
	{"number of keys", "many: deny del over=2", []string{
		"EVAL $ 2 a b | redis.call('del', unpack(KEYS)) -> allow",
		"EVAL $ 3 a b c | redis.call('del', unpack(KEYS)) -> deny many",
		"EVAL $ 0 | redis.call('del', k) -> deny many", // k is not known, and may be one key only
		"EVAL $ 0 | redis.call('del', unpack(t)) -> deny many",
	}},
	{"what cannot be done inside", "a: trash flushall del\nb: rewrite keys save\nc: rewrite flushdb",
		[]string{
			"EVAL $ 0 | redis.call('flushall') -> deny a", "EVAL $ 1 k | redis.call('del', KEYS[1]) -> deny a",
			"EVAL $ 0 | redis.call('keys', '*') -> deny b",
			"EVAL $ 0 | redis.call('flushdb') -> allow c",
			"EVAL $ 0 | redis.call('unlink', 'x') -> allow",
		}},
	{"confirmation", "a: confirm flushall\nb: confirm eval", []string{
		"EVAL $ 0 | redis.call('flushall') -> confirm a", "EVAL $ 0 | return 1 -> confirm b",
		"EVALSHA abc 0 -> confirm a",
	}},
	{"gaps of the guard", "a: deny flushall\nb: trash del keys=pay:*", []string{
		"guarded EVAL $ 0 | redis.call(ARGV[1]) -> deny b",
		"guarded EVALSHA abc 0 -> deny b", "EVALSHA abc 0 -> deny a",
		"guarded EVAL $ 0 | redis.call('del', 'x') -> allow",
	}},
	{"the strictest counts", "a: confirm del\nb: deny flushall\nc: allow eval", []string{
		"EVAL $ 0 | redis.call('del', 'x') redis.call('flushall') -> deny b",
		"EVAL $ 0 | redis.call('del', 'x') -> confirm a", "EVAL $ 0 | return 1 -> allow c",
	}},
	{"rules about opaque code", "a: allow @scripting scripts=opaque users=admin\nb: deny flushall",
		[]string{
			"user=admin EVAL $ 0 | redis.call(ARGV[1]) -> allow a",
			"user=admin EVALSHA abc 0 -> allow a",
			"EVAL $ 0 | redis.call(ARGV[1]) -> deny b",
			"user=admin EVAL $ 0 | redis.call('flushall') redis.call(x) -> deny b",
			"user=admin EVAL $ 0 | redis.call('flushall') -> deny b",
		}},
	{"another database", "a: deny del dbs=5", []string{
		"EVAL $ 0 | redis.call('del', 'x') -> allow", "db=5 EVAL $ 0 | redis.call('del', 'x') -> deny a",
		"EVAL $ 0 | redis.call('SELECT', 5) redis.call('del', 'x') -> deny a",
		"EVAL $ 0 | redis.call(x) -> deny a",
	}},
	{"other users", "a: deny flushall users=app", []string{
		"EVAL $ 0 | redis.call('flushall') -> allow",
		"user=app EVAL $ 0 | redis.call('flushall') -> deny a",
		"user=app EVALSHA abc 0 -> deny a", "EVALSHA abc 0 -> allow",
	}},
	{"observed", "a: deny flushall observe", []string{
		"EVAL $ 0 | redis.call('flushall') -> deny(observed) a",
		"EVALSHA abc 0 -> deny(observed) a",
	}},
	{"unknown commands", "a: deny * except get @scripting", []string{
		"EVAL $ 0 | redis.call('nosuch') -> deny a", "EVAL $ 0 | redis.call('get', 'x') -> allow",
	}},
	{"a limit", "a: allow flushall limit=1/m", []string{
		"EVAL $ 0 | redis.call('flushall') -> allow a", "EVAL $ 0 | return 1 -> allow",
	}},
}

func TestDecideScript(t *testing.T) {
	for _, tt := range inScripts {
		t.Run(tt.name, func(t *testing.T) {
			p := mustNew(t, Options{Rules: parseRules(t, tt.rules)})
			for _, row := range tt.want {
				i := strings.LastIndex(row, " -> ")
				line, want := row[:i], row[i+4:]
				head, src, has := strings.Cut(line, " | ")
				head, guarded := strings.CutPrefix(head, "guarded ")
				req := parseRequest(t, p, head)
				if has {
					req.Script = Scan([]byte(src))
					for i := range req.Args {
						if string(req.Args[i]) == "$" {
							req.Args[i] = []byte(src)
						}
					}
				}
				if !req.Cmd.RunsCode() {
					t.Fatalf("%s runs no code", head)
				}
				var guard *Guard
				if guarded {
					guard = mustGuard(t, p, GuardOptions{User: "default"})
				}
				if got := show(p.DecideScript(req, guard)); got != want {
					t.Errorf("%s: %s, want %s", line, got, want)
				}
			}
		})
	}
}

func BenchmarkDecideScript(b *testing.B) {
	src := "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end"
	for _, rules := range []string{"a: deny flushall", "a: deny del keys=pay:*"} {
		b.Run(rules, func(b *testing.B) {
			p := mustNew(b, Options{Rules: parseRules(b, rules)})
			req := parseRequest(b, p, "EVALSHA abc 1 lock:1 token")
			req.Script = Scan([]byte(src))
			b.ReportAllocs()
			for b.Loop() {
				p.DecideScript(req, nil)
			}
		})
	}
}
