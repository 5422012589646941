package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Rules about databases and users, and sessions that are not what they were.
func TestWaysToBeAnother(t *testing.T) {
	t.Parallel()
	w := ways{
		rules: `
			deny flushdb flushall databases=1
			deny flushdb flushall users=bob
			deny swapdb function
			deny publish names=loud`,
		prepare: func(srv *proxytest.Server) {
			srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "&*", "+@all")
		},
		rows: []way{
			{sends: "SELECT|1\nFLUSHDB", want: []string{"+OK", "-DENIED"}},
			{sends: "FLUSHALL", want: []string{"-DENIED"}},
			{sends: "MULTI\nSELECT|1\nFLUSHDB\nEXEC",
				want: []string{"+OK", "+QUEUED", "-DENIED", "-EXECABORT"}},
			{sends: "MULTI\nSELECT|1\nEXEC\nFLUSHDB",
				want: []string{"+OK", "+QUEUED", "*1", "-DENIED"}},
			{sends: "MULTI\nSELECT|1\nDISCARD\nSELECT|1\nFLUSHDB",
				want: []string{"+OK", "+QUEUED", "+OK", "+OK", "-DENIED"}},
			{sends: "WATCH|keep\nSELECT|1\nFLUSHDB", want: []string{"+OK", "+OK", "-DENIED"}},
			{sends: "SUBSCRIBE|c\nUNSUBSCRIBE|c\nSELECT|1\nFLUSHDB"},
			{sends: "CLIENT|REPLY|OFF\nSELECT|1\nCLIENT|REPLY|ON\nFLUSHDB",
				want: []string{"", "", "+OK", "-DENIED"}},
			{sends: "CLIENT|REPLY|OFF\nSELECT|1\nSELECT|99\nFLUSHDB\nCLIENT|REPLY|ON"},
			{sends: "SELECT|1\nCLIENT|REPLY|OFF\nSELECT|99\nFLUSHDB\nCLIENT|REPLY|ON"},
			{sends: "CLIENT|REPLY|SKIP\nSELECT|1\nFLUSHDB", want: []string{"", "", "-DENIED"}},
			{sends: "SELECT|01\nSELECT|1\nFLUSHDB", want: []string{"", "", ""}},
			{sends: "CLIENT|TRACKING|ON\nSELECT|1\nFLUSHDB",
				want: []string{"+OK", "+OK", "-DENIED"}},
			{sends: "SELECT|1\nRESET\nSELECT|1\nFLUSHDB",
				want: []string{"+OK", "+RESET", "+OK", "-DENIED"}},
			{sends: "AUTH|bob|x\nFLUSHALL", want: []string{"+OK", "-DENIED"}},
			{sends: "AUTH|bob|x\nFLUSHDB", want: []string{"+OK", "-DENIED"}},
			{sends: "HELLO|3|AUTH|bob|x\nFLUSHDB", want: []string{"%", "-DENIED"}},
			{sends: "MULTI\nAUTH|bob|x\nFLUSHDB\nEXEC",
				want: []string{"+OK", "+QUEUED", "-DENIED", "-EXECABORT"}},
			{sends: "MULTI\nAUTH|bob|x\nEXEC\nFLUSHDB",
				want: []string{"+OK", "+QUEUED", "*1", "-DENIED"}},
			{sends: "WATCH|keep\nAUTH|bob|x\nFLUSHDB", want: []string{"+OK", "+OK", "-DENIED"}},
			{sends: "CLIENT|REPLY|OFF\nAUTH|bob|x\nCLIENT|REPLY|ON\nFLUSHDB",
				want: []string{"", "", "+OK", "-DENIED"}},
			{sends: "CLIENT|TRACKING|ON\nAUTH|bob|x\nFLUSHDB",
				want: []string{"+OK", "+OK", "-DENIED"}},
			{sends: "PUBLISH|c|m\nCLIENT|SETNAME|loud\nPUBLISH|c|m\nCLIENT|SETNAME|calm\nPUBLISH|c|m",
				want: []string{":0", "+OK", "-DENIED", "+OK", ":0"}},
			{sends: "PUBLISH|c|m\nHELLO|3|SETNAME|loud\nPUBLISH|c|m\nRESET\nPUBLISH|c|m",
				want: []string{":0", "%", "-DENIED", "+RESET", ":0"}},
			{sends: "SWAPDB|0|1", want: []string{"-DENIED"}},
			{sends: "SELECT|1\nEVAL|redis.call('flushdb')|0", want: []string{"+OK", "-DENIED"}},
			{sends: "SELECT|2\nEVAL|redis.call('select', 1) redis.call('flushdb')|0",
				want: []string{"+OK", "-DENIED"}},
			{sends: "SELECT|2\nEVAL|redis.call('select', ARGV[1]) redis.call('flushdb')|0|1",
				want: []string{"+OK", "-DENIED"}},
			{sends: "FUNCTION|LOAD|#!lua name=x\nFUNCTION|FLUSH",
				want: []string{"-DENIED", "-DENIED"}},
		},
	}
	w.run(t)
}

// Nothing may write to the keys that a rule protects.
func TestWaysToWriteProtectedKeys(t *testing.T) {
	t.Parallel()
	w := ways{rules: "deny @write keys=keep*"}
	for _, line := range []string{
		"SET|keep|x", "SETEX|keep|10|x", "GETSET|keep|x", "SETRANGE|keep|0|x", "APPEND|keep|x",
		"MSET|a|1|keep|2",
		"DEL|keep", "DEL|a|b|keep", "UNLINK|keep", "GETDEL|keep", "EXPIRE|keep|1", "PERSIST|keep",
		"GETEX|keep|EX|1",
		"RENAME|loose|keep", "RENAME|keep|away", "RENAMENX|keep|away", "COPY|loose|keep|REPLACE",
		"MOVE|keep|2",
		"RESTORE|keep|0|x|REPLACE", "RESTORE|keep|1|x|ABSTTL|REPLACE",
		"SORT|looselist|STORE|keep", "SORT|looselist|LIMIT|0|1|STORE|a|STORE|keep",
		"SORT|looselist|BY|nosort|STORE|keep",
		"GEORADIUS|none|0|0|1|m|STORE|keep", "GEORADIUS|none|0|0|1|m|STORE|a|STOREDIST|keep",
		"GEORADIUSBYMEMBER|none|m|1|m|STORE|keep",
		"GEOSEARCHSTORE|keep|none|FROMLONLAT|0|0|BYRADIUS|1|m",
		"SUNIONSTORE|keep|looseset", "SINTERSTORE|keep|none", "SDIFFSTORE|keep|none",
		"SMOVE|looseset|keep:set|1",
		"ZUNIONSTORE|keep|1|none", "ZINTERSTORE|keep|1|none", "ZRANGESTORE|keep|none|0|1",
		"BITOP|AND|keep|none",
		"BITFIELD|keep|SET|u8|0|1", "BITFIELD|keep|GET|u8|0|INCRBY|u8|0|1", "SETBIT|keep|0|1",
		"PFMERGE|keep|none",
		"PFADD|keep|x", "INCR|keep", "LMOVE|looselist|keep:list|LEFT|LEFT",
		"LMOVE|keep:list|loose2|LEFT|LEFT",
		"RPOPLPUSH|looselist|keep:list", "BLMOVE|looselist|keep:list|LEFT|LEFT|1",
		"BRPOPLPUSH|looselist|keep:list|1",
		"LMPOP|2|looselist2|keep:list|LEFT", "BLMPOP|1|2|none|keep:list|LEFT",
		"BLPOP|none|keep:list|1", "LPOP|keep:list",
		"LTRIM|keep:list|1|0", "SPOP|keep:set", "SREM|keep:set|1|2", "ZPOPMIN|keep:z",
		"ZMPOP|1|keep:z|MIN",
		"BZMPOP|1|1|keep:z|MIN", "BZPOPMIN|keep:z|1", "ZREM|keep:z|a", "HDEL|keep:h|f",
		"XADD|keep|*|f|v",
		"XTRIM|keep|MAXLEN|0", "XREADGROUP|GROUP|g|c|STREAMS|keep|>", "GETEX|keep|PXAT|1",
		"FLUSHALL", "FLUSHDB", "SWAPDB|0|1",
		"EVAL|redis.call('del', KEYS[1])|1|keep", "EVAL|redis.call('del', ARGV[1])|0|keep",
		"EVAL|redis.call('del', 'ke' .. 'ep')|0",
		"EVAL|redis.call('set', KEYS[1], ARGV[1])|1|keep|x",
		"EVAL|local k = ARGV[1] redis.call('set', k, 1)|0|keep",
		"EVAL|redis.call(unpack(ARGV))|0|del|keep",
		"EVAL|for _, k in ipairs(KEYS) do redis.call('del', k) end|1|keep",
		"EVAL|return redis.pcall('rename', KEYS[1], KEYS[2])|2|loose|keep",
	} {
		w.rows = append(w.rows, way{sends: line, want: []string{"-DENIED"}},
			way{sends: "MULTI\n" + line + "\nEXEC", want: []string{"+OK", "-DENIED", "-EXECABORT"}})
	}
	w.run(t)
}

// Code that flushes, with the guard and without.
func TestWaysByCode(t *testing.T) {
	t.Parallel()
	for _, guard := range []bool{true, false} {
		t.Run(fmt.Sprint("guard=", guard), func(t *testing.T) {
			w := ways{rules: sampleRules, change: func(o *proxy.Options) { o.Guard = guard }}
			for _, code := range []string{
				"redis.call('flushall')", "redis.call('FLUSHALL', 'async')",
				"redis.pcall(\"flush\" .. \"all\")",
				"redis.call('\\70LUSHALL')", "redis.call [[flushall]]", "redis . call ('flushdb')",
				"server.call('flushall')",
				"local c = redis.call c('flushall')", "local r = redis r.call('flushall')",
				"_G.redis.call('flushall')",
				"_G['re' .. 'dis'].call('flushall')", "getfenv().redis.call('flushall')",
				"getfenv(1)['redis']['call']('flushall')",
				"loadstring('redis.call(\"flushall\")')()", "local f = redis['call'] f('flushall')",
				"pcall(redis.call, 'flushall')",
				"for _, f in pairs(redis) do pcall(f, 'flushall') end",
				"setmetatable({}, {__index = redis}).call('flushall')", "redis.call(ARGV[1])",
				"redis.call(unpack(ARGV))",
				"redis.call('eval', 'x', 0)", "redis.call('del', 'keep')",
				"redis.call('swapdb', 0, 1)", "redis.call('debug', 'flushall')",
				"redis.call('shutdown')", "redis.call('replicaof', '127.0.0.1', 1)",
				"redis.call('config', 'set', 'maxmemory', 1)",
				"coroutine.wrap(function() redis.call('flushall') end)()",
				"--[[\n]]redis.call('flushall')", "redis.call('flushall'--[=[ ]] ]=])",
				"string.gsub('flushall', '.+', function(c) redis.call(c) end)",
				"redis.call('set', 'keep', 1, 'PXAT', 1)",
				"redis.call('set', 'keep', 1, unpack(ARGV))", "redis.call('expire', 'keep', -1)",
				"redis.call('expire', 'keep', ARGV[1])",
				"redis.call('select', 15) redis.call('del', 'holdfast:trash')",
				"redis.call('select', 1) redis.call('flushdb')",
			} {
				w.rows = append(w.rows,
					way{sends: "EVAL|" + code + "|0|flushall"},
					way{sends: "HELLO|3\neval|" + code + "|0|flushdb"},
					way{sends: "MULTI\nEVAL|" + code + "|0|flushall\nEXEC"},
					way{sends: "WATCH|keep\nEVAL|" + code + "|0|flushall"},
					way{sends: "SCRIPT|LOAD|" + code + "\nEVALSHA|" + shaOf(code) + "|0|flushall"},
					way{sends: "FUNCTION|LOAD|#!lua name=l\\nredis.register_function('f', function() " + code +
						" end)\nFCALL|f|0\nFCALL|F|0"})
			}
			w.run(t)
		})
	}
}

// Code that would come to the databases of the trash, where the only copy of the data is.
func TestWaysToTheTrashByCode(t *testing.T) {
	t.Parallel()
	for _, guard := range []bool{true, false} {
		t.Run(fmt.Sprint("guard=", guard), func(t *testing.T) {
			w := ways{rules: "trash flushall flushdb", change: func(o *proxy.Options) { o.Guard = guard }}
			for _, code := range []string{
				"redis.call('select', 15) redis.call('hdel', 'holdfast:trash', '1', '2', '3')",
				"redis.call('select', '15') redis.call('hset', 'holdfast:trash', '1', '')",
				"local n = 15 redis.call('select', n) redis.call('rename', 'holdfast:trash', 'x')",
				"redis.call('select', 7 + 8) redis.call('hdel', 'holdfast:trash', '1', '2', '3')",
				"for i = 8, 15 do redis.call('select', i) redis.call('set', 'keep', 'x') " +
					"redis.call('hdel', 'holdfast:trash', '1') end",
				"redis.call('select', 8) redis.call('set', 'keep', 'x') redis.call('lpop', 'keep:list')",
				"redis.call('select', ARGV[2]) redis.call('set', 'keep', 'x')",
				"redis.call('set', 'x', 1) redis.call('copy', 'x', 'holdfast:trash', 'DB', 15, 'REPLACE')",
				"redis.call('select', 15) redis.call('del', 'holdfast:trash')",
				"redis.call('swapdb', 0, 15)", "redis.call('swapdb', 8, 1)",
				"local f = redis.call f(ARGV[1], ARGV[2]) f('set', 'keep', 'x')",
				"redis.call(ARGV[1], ARGV[2]) redis.call('set', 'keep', 'x')",
				"redis.call(ARGV[3], '15') redis.call('hdel', 'holdfast:trash', '1', '2', '3')",
			} {
				sha := shaOf(code)
				w.rows = append(w.rows,
					way{sends: "FLUSHALL\nEVAL|" + code + "|0|select|8|select"},
					way{sends: "FLUSHALL\nMULTI\nEVAL|" + code + "|0|select|8|select\nEXEC"},
					way{sends: "FLUSHALL\nSCRIPT|LOAD|" + code + "\nEVALSHA|" + sha + "|0|select|8|select"},
					way{sends: "FLUSHALL\nEVAL|" + code + "|0|swapdb|0|select"})
			}
			w.rows = append(w.rows,
				way{sends: "EVAL|redis.call('select', 1) return redis.call('get', 'keep')|0", want: []string{"$5"}},
				way{sends: "SELECT|1\nEVAL|return redis.call('get', 'keep')|0", want: []string{"+OK", "$5"}},
				way{sends: "EVAL|return redis.call('copy', 'loose', 'loose2')|0", want: []string{":1"}},
				way{sends: "EVAL|return redis.call('move', 'loose', 3)|0", want: []string{":1"}})
			w.run(t)
		})
	}
}

// Frames that are read in one way here and in another there. A = stands before raw bytes.
func TestWaysByFrame(t *testing.T) {
	t.Parallel()
	const flush = "$8\r\nFLUSHALL\r\n"
	w := ways{rules: "deny flushall flushdb del"}
	for _, raw := range []string{
		"*1\r\n" + flush, "*01\r\n" + flush, "*+1\r\n" + flush, "* 1\r\n" + flush,
		"*1 \r\n" + flush, "*1\n$8\nFLUSHALL\n",
		"*1\r\n$08\r\nFLUSHALL\r\n", "*1\r\n$+8\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALLxx",
		"*1\r\n$8\nFLUSHALL\r\n",
		"*2\r\n" + flush + "$0\r\n\r\n", "*0\r\n*1\r\n" + flush, "*-1\r\n*1\r\n" + flush,
		"\r\n\r\n*1\r\n" + flush,
		"*1\r\n$-1\r\nFLUSHALL\r\n", "*2147483648\r\n" + flush, "*1048577\r\n" + flush,
		"*1\r\n$536870913\r\nFLUSHALL\r\n",
		"*9223372036854775807\r\n" + flush, "*1\r\n$9223372036854775807\r\n",
		"*1\r\n:1\r\n*1\r\n" + flush, "*1\r\n+FLUSHALL\r\n",
		"FLUSHALL\n", "FLUSHALL\r\r\n", "\x00FLUSHALL\r\n", "FLUSHALL\x00\r\n", "FLUSH\x00ALL\r\n",
		"\"FLUSHALL\"\r\n", "'FLUSHALL'\r\n",
		"\"\\x46\\x4c\\x55SHALL\"\r\n", "\tFLUSHALL\v\r\n", "FLUSHALL\r\nFLUSHALL\r\n",
		"GET keep\r\n*1\r\n" + flush,
		"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$23\r\n*1\r\n$8\r\nFLUSHALL\r\n1234567\r\n",
		"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n*1\r\n" + flush,
		"%1\r\n" + flush, "~1\r\n" + flush, ">1\r\n" + flush, "|1\r\n" + flush + "*1\r\n" + flush,
		"$8\r\nFLUSHALL\r\n", "FLUSHALL \"\r\n",
		"POST / HTTP/1.1\r\nFLUSHALL\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n",
		strings.Repeat("x", 70000) + "\r\nFLUSHALL\r\n", "*2\r\n$3\r\nDEL\r\n$4\r\nkeep\r\n",
		"*1\r\n$4\r\nPING\r\n*1\r\n" + flush,
		"QUIT\r\n*1\r\n" + flush, "*1\r\n$5\r\nMULTI\r\n*1\r\n" + flush + "*1\r\n$4\r\nEXEC\r\n",
	} {
		w.rows = append(w.rows, way{sends: "=" + raw}, way{sends: "/" + raw})
	}
	w.run(t)
}
