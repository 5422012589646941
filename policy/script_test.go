package policy

import (
	"fmt"
	"strings"
	"testing"
)

// showCalls writes an analysis as these tests do: "get KEYS[1]; del ? ...", and "opaque: why".
func showCalls(s *Script) string {
	var calls []string
	for _, c := range s.Calls {
		var words []string
		for _, arg := range c.Args {
			words = append(words, map[ArgKind]string{
				ArgUnknown: "?", ArgLiteral: arg.Text, ArgKey: fmt.Sprintf("KEYS[%d]", arg.Index),
				ArgArgv: fmt.Sprintf("ARGV[%d]", arg.Index), ArgAllKeys: "KEYS", ArgAllArgv: "ARGV",
			}[arg.Kind])
		}
		if c.Open {
			words = append(words, "...")
		}
		calls = append(calls, strings.Join(words, " "))
	}
	text := strings.Join(calls, "; ")
	if s.Opaque {
		text = strings.TrimPrefix(text+"; opaque: "+s.Reason, "; ")
	}
	return text
}

var scans = []struct{ src, want string }{
	{"", ""},
	{"return 1", ""},
	{"redis.call('FLUSHALL')", "FLUSHALL"},
	{`return redis.pcall("get", KEYS[1])`, "get KEYS[1]"},
	{"server.call('flushdb', 'async')", "flushdb async"},
	{`redis.call"FLUSHALL"`, "FLUSHALL"},
	{"redis.call('del', 'a') redis.call('del', 'b') redis.call('del', 'a')", "del a; del b"},
	{"redis.call('del', 'a') redis.call('del', KEYS[1]) redis.call('del', KEYS[2]) redis.call('del', KEYS[1])",
		"del a; del KEYS[1]; del KEYS[2]"},
	{"redis.call('del') redis.call'del' redis.call('del', ...) redis.call('del', '') redis.call('del', x)",
		"del; del ? ...; del ; del ?"},
	{"redis.call[[FLUSHALL]]", "FLUSHALL"},
	{"redis.call[==[FLUSH]]ALL]==]", "FLUSH]]ALL"},
	{"redis . --[[x]] call --x\n ( 'FLUSHALL' )", "FLUSHALL"},
	{`redis.call("\70LUSH\065LL")`, "FLUSHALL"},
	{`redis.call("FLUSH\z ALL")`, "FLUSHz ALL"},
	{"redis.call('config', 'set', 'dir', ARGV[1])", "config set dir ARGV[1]"},
	{"redis.call('del', unpack(KEYS))", "del KEYS"},
	{"redis.call('del', unpack(KEYS), 'x')", "del ? x"},
	{"redis.call('del', unpack(redis.call('keys', '*')))", "del ? ...; keys *"},
	{"redis.call('set', KEYS[1] .. 'x', -1)", "set ? -1"},
	{"redis.call('set', 'k', 1.5, 007, 0x10, 12)", "set k ? ? ? 12"},
	{"redis.call('mset', ...)", "mset ? ..."},
	{"redis.call('mset', f{1})", "mset ? ..."},
	{"redis.call('mset', f'1')", "mset ? ..."},
	{"redis.call('mset', function() local a, b end, 1)", "mset ..."},
	{"local x = {redis = 1}", "opaque: it uses redis other than by a field's name in line 1"},
	{"redis.log(redis.LOG_NOTICE, redis.sha1hex('x'))", ""},
	{"return redis.error_reply('no')", ""},
	{"#!lua flags=no-writes\nreturn redis.call('get', 'k')", "get k"},
	{"#!js\nredis.call('get')", "opaque: it is not in Lua"},
	{"#!lua", "opaque: its first line has no end"},

	// Names that are computed.
	{"redis.call('FLUSH' .. 'ALL')", "opaque: it computes the name of a command in line 1"},
	{"redis.call(ARGV[1])", "opaque: it computes the name of a command in line 1"},
	{"redis.call(('flushall'))", "opaque: it computes the name of a command in line 1"},
	{"redis.call('x' and 'flushall')", "opaque: it computes the name of a command in line 1"},
	{"\n\nredis.call(x)\nredis.call(y)", "opaque: it computes the name of a command in line 3"},
	{"redis.call(unpack(ARGV))", "opaque: it computes the name of a command in line 1"},
	{"redis.call{'flushall'}", "opaque: it uses redis.call as a value in line 1"},

	// The table or its functions as values.
	{"local r = redis; r.call('flushall')",
		"opaque: it uses redis other than by a field's name in line 1"},
	{"redis['call']('flushall')", "opaque: it uses redis other than by a field's name in line 1"},
	{"redis[ [[call]] ]('flushall')", "opaque: it uses redis other than by a field's name in line 1"},
	{"for k, v in pairs(redis) do v('flushall') end",
		"opaque: it uses redis other than by a field's name in line 1"},
	{"pcall(redis.call, 'flushall')", "opaque: it uses redis.call as a value in line 1"},
	{"local f = redis.call or 1; f('flushall')", "opaque: it uses redis.call as a value in line 1"},
	{"local f = (redis.call); f('flushall')", "opaque: it uses redis.call as a value in line 1"},
	{"redis:call('flushall')", "opaque: it uses redis other than by a field's name in line 1"},
	{"redis.call = f", "opaque: it uses redis.call as a value in line 1"},
	{"redis.nosuch()", "opaque: it uses redis.nosuch in line 1"},
	{"string.gsub('flushall', '.+', redis.call)", "opaque: it uses redis.call as a value in line 1"},

	// The environment, and code made of text.
	{"_G['redis'].call('flushall')", "opaque: it uses _G in line 1"},
	{"_G.redis.call('flushall')", "flushall; opaque: it uses _G in line 1"},
	{"getfenv(0)['redis']['call']('flushall')", "opaque: it uses getfenv in line 1"},
	{"loadstring('redis.call(\"flushall\")')()", "opaque: it uses loadstring in line 1"},
	{"setmetatable({}, {__index = f})", "opaque: it uses setmetatable in line 1"},
	{"x.load(1); x:rawset()", ""},
	{"local s = '_G loadstring redis'", ""},

	// Aliases.
	{"local rcall = redis.call\nrcall('get', KEYS[1])\nreturn rcall 'PING'", "get KEYS[1]; PING"},
	{"local c = redis.call; c('FLUSHALL')", "FLUSHALL"},
	{"local c = server.pcall local function f() return c('del', 'k') end", "del k"},
	{"local c = redis.call\n('flushall')", "flushall"},
	{"local c = redis.call c(ARGV[1])", "opaque: it computes the name of a command in line 1"},
	{"local c = redis.call return c", "opaque: it uses c as a value in line 1"},
	{"local c = redis.call local d = c d('flushall')", "opaque: it uses c as a value in line 1"},
	{"c = redis.call c('flushall')", "opaque: it uses redis.call as a value in line 1"},
	{"local c, d = redis.call, 1", "opaque: it uses redis.call as a value in line 1"},
	{"local c = redis.call x.c = 1 x:c()", ""},
	{"local c = redis.call\nlocal c = redis.pcall\nc('get', 'k')", "get k"},
	{"local c = redis.call function f(c) c('x') end",
		"x; opaque: it uses c as a value in line 1"},

	// KEYS and ARGV that change.
	{"KEYS[1] = 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"x, KEYS[1] = 1, 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"KEYS = {'pay'} redis.call('del', KEYS[1])", "del ?"},
	{"local KEYS = {'pay'} redis.call('del', KEYS[1])", "del ?"},
	{"table.insert(KEYS, 1, 'pay') redis.call('del', KEYS[1])", "del ?"},
	{"local k = KEYS k[1] = 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"function unpack(t) t[1] = 'pay' end redis.call('del', KEYS[1])", "del ?"},
	{"local ipairs = f redis.call('del', KEYS[1])", "del ?"},
	{"for i, k in ipairs(KEYS) do redis.call('del', k) end", "del ?"},
	{"for i, k in ipairs(KEYS) do f(k) end for k in pairs(ARGV) do end redis.call('del', KEYS[1])",
		"del KEYS[1]"},
	{"for i, k in ipairs(f(1)) do end f(unpack(KEYS)) redis.call('del', KEYS[1])", "del KEYS[1]"},
	{"local _, t = ipairs(KEYS) t[1] = 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"local _, t = pairs(KEYS) t[1] = 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"select(2, ipairs(KEYS))[1] = 'pay' redis.call('del', KEYS[1])", "del ?"},
	{"for _, t in f, ipairs(KEYS) do t[1] = 'pay' end redis.call('del', KEYS[1])", "del ?"},
	{"for _, t in g(ipairs(KEYS)) do t[1] = 'pay' end redis.call('del', KEYS[1])", "del ?"},
	{"x = x.ipairs(KEYS) redis.call('del', KEYS[1])", "del ?"},
	{"if #KEYS > 1 and KEYS[2] then redis.call('del', KEYS[1], ARGV[2]) end", "del KEYS[1] ARGV[2]"},
	{"f(1, KEYS[2]) redis.call('del', KEYS[1])", "del KEYS[1]"},
	{"redis.call('del', KEYS[0], KEYS[x], KEYS['1'])", "del ? ? ?"},

	// Local variables of one value.
	{"local k = KEYS[1] redis.call('del', k)", "del KEYS[1]"},
	{"local k, n = KEYS[1], 2 redis.call('del', k)", "del ?"},
	{"local k = KEYS[1]; local f = 'x'\nif k then redis.call('hset', k, f, 1) end",
		"hset KEYS[1] x 1"},
	{"local k = KEYS[1] k = 'pay' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] if x then k = 'pay' end redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] local k = 'pay' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] do local k = f() redis.call('del', k) end", "del ?"},
	{"local k = KEYS[1] x, k = 1, 'pay' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] for k = 1, 2 do redis.call('del', k) end", "del ?"},
	{"local k = KEYS[1] for i, k in ipairs(t) do redis.call('del', k) end", "del ?"},
	{"local k = KEYS[1] local f = function(k) redis.call('del', k) end f('pay')", "del ?"},
	{"local k = KEYS[1] local function f(a, k) redis.call('del', k) end f('pay')", "del ?"},
	{"local k = KEYS[1] local function k() end redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] .. 'x' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1]\n(f)() redis.call('del', k)", "del ?"},
	{"local k = 'a' f(1, k, {k, k = k}) redis.call('del', k)", "del a"},
	{"local k = KEYS[1] t[k], k = 1, 'pay' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] KEYS[1] = 'pay' redis.call('del', k)", "del ?"},
	{"local k = KEYS[1] (function(a, b) k = 'pay' end)() redis.call('del', k)", "del ?"},
	{"local k = KEYS redis.call('del', k)", "del ?"},
	{"redis.call('del', k) local k", "del ?"},

	// What does not compile.
	{"redis.call('flushall", "opaque: it holds an unfinished string"},
	{"--[[ redis.call('flushall')", "opaque: it holds an unfinished comment"},
	{"x = [=y", "opaque: it holds a long bracket that is none"},
	{`x = "\999"`, "opaque: it holds an escape sequence beyond 255"},
	{"redis.call('flushall',", "opaque: it has a call without an end, or calls too deep in each other " +
		"in line 1"},
	{"redis.\x00call('flushall')", "opaque: it holds a NUL byte"},
	{"\x1bLua", ""},

	// What only looks like a call, and what only looks like none.
	{"-- redis.call('flushall')", ""},
	{"--[==[ redis.call('flushall') ]]\n]==] redis.call('get', 'k')", "get k"},
	{"--[ redis.call('a')\nredis.call('b')", "b"},
	{"--\rredis.call('b')", "b"},
	{"x = 'redis.call(\\'a\\')' redis.call('b')", "b"},
	{"x = '\\\nredis.call(1)' redis.call('b')", "b"},
	{"x = [[\n]=] redis.call('a')]] redis.call('b')", "b"},
	{"x = 1e+redis.call('b')", ""}, // a malformed number, in the server too
	{"x = 3..redis.call('b')", ""},
}

func TestScan(t *testing.T) {
	for _, tt := range scans {
		if got := showCalls(Scan([]byte(tt.src))); got != tt.want {
			t.Errorf("%q\ngot:  %s\nwant: %s", tt.src, got, tt.want)
		}
	}
}

func TestScanLibrary(t *testing.T) {
	s := Scan([]byte("#!lua name=lib1\nlocal function f(keys, args)\n" +
		"  return redis.call('flushdb')\nend\nredis.register_function('f', f)\n" +
		"server.register_function{function_name='g', callback=f, flags={'no-writes'}}"))
	if got := showCalls(s); got != "flushdb" || s.Library != "lib1" || s.Calls[0].Line != 3 {
		t.Errorf("%s in %q, line %d", got, s.Library, s.Calls[0].Line)
	}
}

// TestScanIsLinear has sources that a careless scanner takes quadratic time for.
func TestScanIsLinear(t *testing.T) {
	deep := strings.Repeat("redis.call('a',", MaxScriptBytes/16) +
		strings.Repeat(")", MaxScriptBytes/17)
	if s := Scan([]byte(deep)); !s.Opaque {
		t.Error("deep nesting is read to the end")
	}
	wide := "f(" + strings.Repeat("KEYS[1],", MaxScriptBytes/9) + "1)"
	if s := Scan([]byte(wide)); s.Opaque {
		t.Errorf("many keys: %s", s.Reason)
	}
	if s := Scan(make([]byte, MaxScriptBytes+1)); s.Reason != "it is too long to read" {
		t.Errorf("too long: %s", s.Reason)
	}
}

// FuzzScan checks what holds of any source: a scan ends, says the same twice, and text before the
// code that is a comment changes nothing.
func FuzzScan(f *testing.F) {
	for _, tt := range scans {
		f.Add([]byte(tt.src))
	}
	for _, src := range evasions {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s := Scan(src)
		for _, c := range s.Calls {
			if len(c.Args) == 0 || c.Args[0].Kind != ArgLiteral || c.Line < 1 {
				t.Fatalf("%q: %+v", src, c)
			}
		}
		if s.Opaque != (s.Reason != "") {
			t.Fatalf("%q: opaque %v, %q", src, s.Opaque, s.Reason)
		}
		if strings.HasPrefix(string(src), "#!") {
			return
		}
		again := Scan([]byte("--[=[ redis ]] ]=]" + string(src)))
		if len(src) < MaxScriptBytes/2 && showCalls(again) != showCalls(s) {
			t.Errorf("%q: %s, and after a comment %s", src, showCalls(s), showCalls(again))
		}
	})
}

func TestScripts(t *testing.T) {
	cache, table := NewScripts(2), Builtin()
	of := func(line ...string) *Script {
		var args [][]byte
		for _, word := range line {
			args = append(args, []byte(word))
		}
		return cache.Of(table.Lookup(args), args)
	}
	const src, sha = "return redis.call('get', 'k')", "2845dc5d9bfb60b33a15b681dee13ea33da18095"
	if of("EVALSHA", sha, "0") != nil {
		t.Error("known before it was seen")
	}
	script := of("EVAL", src, "0")
	if script == nil || showCalls(script) != "get k" {
		t.Fatalf("EVAL: %+v", script)
	}
	if of("EVALSHA", sha, "0") != script || of("evalsha_ro", strings.ToUpper(sha), "0") != script ||
		of("SCRIPT", "LOAD", src) != script || cache.BySHA([]byte(sha)) != script {
		t.Error("not the same by every way")
	}
	for _, line := range [][]string{{"EVALSHA", sha + "0", "0"}, {"EVALSHA", sha[1:] + "x", "0"},
		{"EVALSHA"}, {"EVAL"}, {"FCALL", "f", "0"}, {"GET", src}, {"SCRIPT", "LOAD"},
		{"FUNCTION", "LOAD", "REPLACE"[:0]}} {
		if s := of(line...); s != nil && len(s.Calls) > 0 {
			t.Errorf("%q: %+v", line, s)
		}
	}
	if s := of("FUNCTION", "LOAD", "replace", "#!lua name=l\nredis.call('del', 'x')"); s == nil ||
		showCalls(s) != "del x" {
		t.Errorf("FUNCTION LOAD: %+v", s)
	}
	of("EVAL", "return 1", "0")
	of("EVAL", "return 2", "0")
	if of("EVALSHA", sha, "0") != nil {
		t.Error("the memory is not bounded")
	}
}

func BenchmarkScan(b *testing.B) {
	src := []byte(strings.Repeat("if redis.call('get', KEYS[1]) == ARGV[1] then\n"+
		"  return redis.call('del', KEYS[1])\nelse\n  return 0\nend\n", 10))
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		Scan(src)
	}
}

func BenchmarkScriptSeen(b *testing.B) {
	cache := NewScripts(0)
	src := []byte("if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end")
	b.ReportAllocs()
	for b.Loop() {
		cache.Source(src)
	}
}
