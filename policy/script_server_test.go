package policy

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

// evasions is pieces of code that call SET, or try to. Each is run on real servers.
var evasions = []string{
	"redis.call('SET', 'hit', 1)", "redis.call('S'..'ET', 'hit', 1)",
	"redis['call']('SET', 'hit', 1)", "local r = redis r.call('SET', 'hit', 1)",
	"local c = redis.call c('SET', 'hit', 1)", "pcall(redis.call, 'SET', 'hit', 1)",
	"_G.redis.call('SET', 'hit', 1)", "_G['red'..'is']['call']('SET', 'hit', 1)",
	"getfenv()['redis'].call('SET', 'hit', 1)", "getfenv(0).redis['call']('SET', 'hit', 1)",
	"loadstring(\"redis.call('SET', 'hit', 1)\")()",
	"load(function() local s = x return nil end)",
	"local s = \"redis.call('SET','hit',1)\" loadstring(s)()",
	"for _, f in pairs({redis.call}) do f('SET', 'hit', 1) end",
	"for k, f in pairs(redis) do if k == 'call' then f('SET', 'hit', 1) end end",
	"redis.call('\\83ET', 'hit', 1)", "redis.call([[SET]], 'hit', 1)",
	"redis.call([==[\nSET]==], 'hit', 1)", "redis.call('\\SET', 'hit', 1)",
	"--[[x]] redis.call('SET', 'hit', 1)", "--[==[ ]] ]==] redis.call('SET', 'hit', 1)",
	"--[x\nredis.call('SET', 'hit', 1)", "--\rredis.call('SET', 'hit', 1)",
	"redis.\n--x\ncall('SET', 'hit', 1)", "redis\t.\vcall\f('SET', 'hit', 1)",
	"redis.call(ARGV[1], 'hit', 1)", "redis.call(unpack({'SET', 'hit', 1}))",
	"redis.call(('SET'), 'hit', 1)", "redis.call('set', 'hit', 1)",
	"local f = redis.pcall; f('SeT', 'hit', 1)", "(redis).call('SET', 'hit', 1)",
	"(redis.call)('SET', 'hit', 1)", "local t = {redis.call} t[1]('SET', 'hit', 1)",
	"local x = 3 redis.call('SET', 'hit', x)", "string.gsub('a', 'a', function() " +
		"redis.call('SET', 'hit', 1) end)",
	"redis.call('SET' , 'hit', 1)", "xpcall(function() redis.call('SET','hit',1) end, error)",
	"coroutine.wrap(redis.call)('SET', 'hit', 1)",
	"coroutine.wrap(function() redis.call('SET', 'hit', 1) end)()",
	"local m = getmetatable('') m.__index = redis ('x').call('SET', 'hit', 1)",
	"server.call('SET', 'hit', 1)", "server['call']('SET', 'hit', 1)",
	"#!lua\nredis.call('SET', 'hit', 1)", "#!lua name=x\rredis.call('SET', 'hit', 1)\n",
	"#!lua\r\nredis.call('SET', 'hit', 1)", "redis.call('SET\x00', 'hit', 1)",
	"redis.\x00call('SET', 'hit', 1)", "x=1\x00redis.call('SET', 'hit', 1)",
	"return 1\x00, redis.call('SET', 'hit', 1)", "\xef\xbb\xbfredis.call('SET', 'hit', 1)",
	"local redis = redis redis.call('SET', 'hit', 1)",
	"local rcall = redis.call if true then local x = rcall x('SET', 'hit', 1) end",
	"local k = 'SET' redis.call(k, 'hit', 1)", "redis.call(string.upper('set'), 'hit', 1)",
	"redis.call('SET', KEYS[1], 1)", "redis.call('mset', unpack({'hit', 1}))",
}

// TestServerScan runs the evasions, and mixtures of their tokens, on real servers. If one had its
// effect, the scanner must have seen the call or called the code opaque.
func TestServerScan(t *testing.T) {
	sources := slices.Clone(evasions)
	random := rand.New(rand.NewPCG(3, 7))
	for range 6000 {
		sources = append(sources, mix(random))
	}
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		ctx, client := context.Background(), srv.Client()
		effective, literal := 0, 0
		for batch := range slices.Chunk(sources, 500) {
			pipe := client.Pipeline()
			for _, src := range batch {
				pipe.Do(ctx, "EVAL", src, 1, "hit", "SET")
				pipe.Do(ctx, "DEL", "hit")
			}
			replies, _ := pipe.Exec(ctx) // errors of single scripts are expected
			for i, src := range batch {
				if replies[2*i+1].(*redis.Cmd).Val() != int64(1) {
					continue
				}
				effective++
				s := Scan([]byte(src))
				names := strings.Join(s.Names(), " ")
				if s.Opaque {
					continue
				}
				literal++
				if !strings.Contains(names, "set") {
					t.Errorf("%q sets a key unseen: %s", src, showCalls(s))
				}
			}
		}
		t.Logf("%d of %d had their effect, %d of them not opaque", effective, len(sources), literal)
		if effective < 1000 || literal < 500 {
			t.Error("too few had their effect to say anything")
		}
	})
}

// mix makes code of pieces of the evasions: one or two of them in one or another frame, now and
// then with something put in or taken out.
func mix(random *rand.Rand) string {
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	frames := []string{"%s", "if true then %s end", "local function f() %s end f()", "do %s end",
		"local c = redis.call %s", "local x = '%%s' %s", "%s --[[", "--x\n%s", "%s\nreturn 1",
		"for i = 1, 2 do %s end", "pcall(function() %s end)", "local r, KEYS = 1, {} %s",
		"--[==[ ]=] redis.call('x') ]==] %s", "local s = [[ redis.call('x') ]] %s;", "%s;return 1"}
	pieces := []string{" ", "\n", "\r", "\t", ";", "--\n", "--[[x]]", "--[=[]]]=]", "c", "redis",
		"'", "\"", "\\", "\x00", "[[", "]]", "(", ")", "..", "=", "1", "e"}
	src := strings.Replace(pick(frames), "%s", pick(evasions), 1)
	if random.IntN(4) == 0 {
		src += " " + strings.Replace(pick(frames), "%s", pick(evasions), 1)
	}
	for random.IntN(3) > 0 {
		at := random.IntN(len(src) + 1)
		src = src[:at] + pick(pieces) + src[min(len(src), at+random.IntN(2)*random.IntN(2)):]
	}
	return src
}

// assignments is statements that give values to variables, with %s for others, and calls that use
// them.
var assignments = []string{
	"local k = KEYS[1]", "k = 'pay'", "local k = 'pay'", "k, n = 'pay', 1",
	"n, k = 1, 'pay'", "KEYS[1] = 'pay'", "n, KEYS[1] = 1, 'pay'", "KEYS = {'pay'}",
	"local KEYS = {'pay'}", "table.insert(KEYS, 1, 'pay')", "for k in pairs({pay = 1}) do %s end",
	"for _, k in ipairs({'pay'}) do %s end", "local function f(k) %s end f('pay')",
	"local function f(n, k) %s end f(1, 'pay')", "local f = function(k) k = 'pay' %s end f()",
	"(function() k = 'pay' end)()", "local n = 1", "local k", "do local k = 'pay' %s end", "%s",
	"redis.call('SET', k, 1)", "redis.call('SET', KEYS[1], 1)", "redis.call('SET', k, k)",
	"if k then k = 'pay' else k = 'x' end", "repeat local k = 'pay' %s until true",
	"local unpack = function() return 'pay', 1 end redis.call('SET', unpack(KEYS))",
	"local n = {k, KEYS[1], k = 'pay'} k = n.k", "local t = KEYS t[1] = 'pay'",
	"local k = KEYS[1] or 'pay'", "local k = ARGV[1]", "local n, k = 1, 'pay'",
	"local _, t = ipairs(KEYS) t[1] = 'pay'", "local _, t = pairs(KEYS) t[1] = 'pay'",
	"local ipairs = function(t) t[1] = 'pay' return pairs(t) end for _ in ipairs(KEYS) do end",
	"while true do local k = 'pay' %s break end", "local k = KEYS[1] .. ''", "k = k:gsub('a', 'pay')",
	"local k = 'a' k = string.rep('pay', 1)", "redis.call('SET', unpack({'pay', 1}))",
}

// mixAssignments makes code of them.
func mixAssignments() (sources []string) {
	random := rand.New(rand.NewPCG(5, 9))
	pick := func() string { return assignments[random.IntN(len(assignments))] }
	for range 8000 {
		src := "local n local k0"
		for range 2 + random.IntN(4) {
			src += "\n" + pick()
		}
		for strings.Contains(src, "%s") {
			src = strings.Replace(src, "%s", pick(), 1)
			if len(src) > 2000 {
				src = strings.ReplaceAll(src, "%s", "")
			}
		}
		sources = append(sources, src)
	}
	return sources
}

// TestServerScanKeys mixes statements that give values to variables with calls that use them, and
// runs them on real servers. Where the key "pay" was written, the scanner must not have claimed to
// know other keys of every call.
func TestServerScanKeys(t *testing.T) {
	sources := mixAssignments()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		ctx, client := context.Background(), srv.Client()
		wrote, claimed := 0, 0
		for batch := range slices.Chunk(sources, 500) {
			pipe := client.Pipeline()
			for _, src := range batch {
				pipe.Do(ctx, "EVAL", src, 1, "a", "b")
				pipe.Do(ctx, "DEL", "pay")
			}
			replies, _ := pipe.Exec(ctx) // errors of single scripts are expected
			for i, src := range batch {
				s := Scan([]byte(src))
				known := claimsOtherKeys(s)
				if known && len(s.Calls) > 0 {
					claimed++
				}
				if replies[2*i+1].(*redis.Cmd).Val() == int64(1) {
					if wrote++; known {
						t.Errorf("%q writes pay: %s", src, showCalls(s))
					}
				}
			}
		}
		t.Logf("%d of %d wrote, for %d all keys were known", wrote, len(sources), claimed)
		if wrote < 500 || claimed < 200 {
			t.Error("too few to say anything")
		}
	})
}

// claimsOtherKeys reports whether the scanner says that every call is about a key other than "pay".
func claimsOtherKeys(s *Script) bool {
	if s.Opaque {
		return false
	}
	for _, c := range s.Calls {
		if len(c.Args) < 2 || c.Args[1].Kind == ArgUnknown || c.Args[1].Text == "pay" {
			return false
		}
	}
	return true
}
