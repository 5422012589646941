package policy

import (
	"strings"
	"testing"
)

func TestEffects(t *testing.T) {
	for name, want := range map[string]string{
		"get": "", "ping": "", "lrange": "", "publish": "", "expiretime": "",
		"set": "overwrite,expire", "mset": "overwrite", "incr": "", "append": "", "setnx": "overwrite",
		"del": "delete", "unlink": "delete", "getdel": "delete",
		"lpop": "shrink", "zrem": "shrink", "hdel": "shrink", "spop": "shrink", "xtrim": "shrink",
		"sdiffstore": "overwrite", "zunionstore": "overwrite", "sort": "overwrite,stall",
		"rename": "overwrite,shrink,move", "restore": "overwrite,expire", "copy": "overwrite",
		"move": "move", "migrate": "delete,move", "expire": "expire", "getex": "expire",
		"flushall": "flush", "flushdb": "flush", "swapdb": "swap", "keys": "stall",
		"debug": "flush,replace,admin,stall", "replicaof": "replace,admin", "save": "admin,stall",
		"cluster|reset": "flush,replace,admin", "config|set": "admin", "acl|setuser": "admin",
		"eval": "script", "fcall_ro": "script", "function|load": "code", "script|flush": "code",
		"module|load": "code,admin", "shutdown": "admin,stall", "bgsave": "admin",
	} {
		cmd := Builtin().ByName(name)
		if got := cmd.Effects.String(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestEffectsAreComplete has every command that writes, and every one that rules deny where nothing
// is configured, with an effect, or in the list of those that only add.
func TestEffectsAreComplete(t *testing.T) {
	for _, cmd := range Builtin().All()[1:] {
		if _, known := knownEffects()[cmd.Name]; cmd.Flags.Has(FlagWrite) && !known {
			t.Errorf("%s writes, and effects.txt does not have it", cmd.Name)
		}
	}
	p := mustNew(t, Options{Rules: DefaultRules()})
	for _, cmd := range p.Table().All() {
		if p.Decide(&Request{Cmd: cmd}).Action == Deny && !cmd.IsContainer() && cmd.Effects == 0 {
			t.Errorf("%s is denied and harmless", cmd.Name)
		}
	}
}

func TestReplaces(t *testing.T) {
	for line, want := range map[string]bool{
		"RENAME a b": true, "RENAMENX a b": false, "RESTORE k 0 x": false, "RESTORE k 0 x replace": true,
		"RESTORE k 0 replace": false, "RESTORE k 0 x ABSTTL REPLACE": true, "COPY a b": false,
		"COPY a replace": false, "COPY a b DB 1 REPLACE": true, `COPY a b REPLACE\0`: true,
		"SET k replace": false, "GET k": false,
	} {
		args := split(line)
		if got := Builtin().Lookup(args).Replaces(args); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestDeletesByTime(t *testing.T) {
	for line, want := range map[string]bool{
		"EXPIRE k -1": true, "EXPIRE k 0": true, "EXPIRE k 1": false, "EXPIRE k": false,
		"PEXPIREAT k 1699999999999": true, "PEXPIREAT k 1700000000001": false,
		"EXPIREAT k 1700000000": true, "GETEX k exat 5": true, "GETEX k EX 5": false,
		"SET k v EXAT 1": true, "SET k v": false, "SET k v EX 1": false, "SET k exat 5": false,
		"SET k v KEEPTTL": false, "set k v nx get pxat 1": true, "DEL k": false,
		"RESTORE k 1 x": false, "RESTORE k 1 x ABSTTL": true, "RESTORE k 0 x ABSTTL REPLACE": false,
	} {
		args := split(line)
		if got := Builtin().Lookup(args).DeletesByTime(args, testNow); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestParseInt(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "-1": -1, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63,
	} {
		if n, ok := parseInt([]byte(text)); !ok || n != want {
			t.Errorf("%s: %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "-", "-0", "01", "+1", " 1", "1 ", "0x1", "9223372036854775808",
		"-9223372036854775809", "99999999999999999999", "1\x00"} {
		if n, ok := parseInt([]byte(text)); ok {
			t.Errorf("%q is taken for %d", text, n)
		}
	}
}

// waysRound is requests that reach the effects of refused commands by another name, form or way.
// Rules that protect the data must refuse all of them.
var waysRound = []string{
	"FLUSHALL", "flushall", "FlushAll ASYNC", `FLUSHALL\0`, `flushall\0xyz`, "FLUSHDB SYNC",
	"db=3 FLUSHDB", "DEBUG FLUSHALL", "debug flushall", "DEBUG RELOAD NOSAVE", "SWAPDB 0 1",
	"SwapDB 1 0", "REPLICAOF h 1", "SLAVEOF h 1", "slaveof no one", "CLUSTER RESET HARD",
	"CLUSTER|RESET reset", "cluster failover", "CLUSTER FLUSHSLOTS", "MODULE LOAD /x.so",
	"MODULE LOADEX /x.so", "module unload x", "FAILOVER TO h 1", "PSYNC ? -1", "SYNC",
	"MIGRATE h 1 pay:1 0 100", `MIGRATE h 1 "" 0 100 KEYS x pay:1`,
	`MIGRATE h 1 "" 0 100 COPY AUTH2 KEYS KEYS KEYS pay:1`,
	"RESTORE pay:1 0 x REPLACE", "RESTORE-ASKING pay:1 0 x REPLACE", "SORT x STORE pay:1",
	"SORT x STORE x STORE pay:1", "SORT x BY nosort GET # STORE pay:1", "RENAME x pay:1",
	"RENAME pay:1 x", "RENAMENX pay:1 x", "COPY x pay:1 REPLACE", "MOVE pay:1 1", "DEL x pay:1",
	"UNLINK pay:1", "GETDEL pay:1", "EXPIRE pay:1 0", "PEXPIREAT pay:1 1", "GETEX pay:1 PXAT 1",
	"SET pay:1 x", "SET pay:1 x GET", "MSET x 1 pay:1 2", "GETSET pay:1 x", "SINTERSTORE pay:1 x y",
	"ZUNIONSTORE pay:1 1 x", "GEORADIUS x 0 0 1 m STORE pay:1", "BITOP NOT pay:1 x",
	"LMPOP 2 x pay:1 LEFT", "XREADGROUP GROUP g c STREAMS pay:1 >", "SPOP pay:1",
	"EVAL s 0", "EVAL s 1 x", "EVALSHA abc 0", "FCALL f 0", "FUNCTION LOAD x", "FUNCTION FLUSH",
	"FUNCTION RESTORE x FLUSH", "SCRIPT LOAD x", "CONFIG SET maxmemory 1", "config|set x y",
	"CONFIG REWRITE", "ACL SETUSER x", "SHUTDOWN NOSAVE", "PFDEBUG GETREG pay:1", "NOSUCH pay:1",
	"RENAMED-FLUSHALL", "nobody FLUSHALL", "addr=unix FLUSHALL", "name=admin FLUSHALL",
}

func TestWaysRound(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, `
		admin: allow @all users=admin addr=10.0.0.0/8
		whole: deny @dangerous function swapdb
		code: deny @scripting scripts=opaque
		pay: deny @write restore-asking keys=pay:*
		new: deny * keys=pay:*
	`[1:])})
	for _, line := range waysRound {
		if v := p.Decide(parseRequest(t, p, line)); v.Action != Deny || v.Observed {
			t.Errorf("%s: %s", line, show(v))
		}
		if v := p.Decide(parseRequest(t, p, "user=admin addr=10.1.1.1 "+
			strings.TrimPrefix(line, "nobody "))); v.Action != Allow && !strings.Contains(line, "=") &&
			!strings.HasPrefix(line, "nobody") {
			t.Errorf("admin %s: %s", line, show(v))
		}
	}
	for _, line := range []string{"GET x", "SET x 1", "DEL x y", "EXPIRE x 0", "MIGRATE h 1 x 0 9 ",
		"RENAME x y", "MULTI", "PING", "SUBSCRIBE pay:1", "INFO", "code=clear SCRIPT LOAD x"} {
		v := p.Decide(parseRequest(t, p, line))
		if dangerous := p.Table().Lookup(split(line)).Categories.Has(CatDangerous); !dangerous &&
			v.Action != Allow {
			t.Errorf("%s: %s", line, show(v))
		}
	}
}
