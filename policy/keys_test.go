package policy

import (
	"fmt"
	"strings"
	"testing"
)

// showKeys writes keys as these tests do: "1:RW,update 3:RO ..." with a trailing "?" where there
// may be more.
func showKeys(keys []Key, complete bool) string {
	var words []string
	for _, k := range keys {
		words = append(words, fmt.Sprintf("%d:%s", k.Pos, k.Flags))
	}
	if !complete {
		words = append(words, "?")
	}
	return strings.Join(words, " ")
}

func TestKeys(t *testing.T) {
	const sortStore = "1:RO,access %d:OW,update"
	for _, tt := range []struct{ line, want string }{
		{"PING", ""},
		{"GET k", "1:RO,access"},
		{"GET", "?"},
		{"MGET a b c", "1:RO,access 2:RO,access 3:RO,access"},
		{"MSET a 1 b 2", "1:OW,update 3:OW,update"},
		{"MSET a", "1:OW,update"},
		{"DEL a b", "1:RM,delete 2:RM,delete"},
		{"RENAME a b", "1:RW,access,delete 2:OW,update"},
		{"OBJECT ENCODING k", "2:RO"},
		{"CONFIG SET a b", ""},
		{"BLPOP a b 0", "1:RW,access,delete 2:RW,access,delete"},
		{"BLPOP 0", ""},
		{"PFMERGE d", "1:RW,access,insert"},
		{"SUBSCRIBE c", ""},
		{"SSUBSCRIBE c", ""}, // routed like a key, and none

		{"EVAL s 2 a b c", "3:RW,access,update 4:RW,access,update"},
		{"EVAL s 0 a", ""},
		{"EVAL s 3 a b", "?"},
		{"EVAL s -1 a", "?"},
		{"EVAL s x a", "?"},
		{"EVAL s 01 a", "?"},
		{"EVAL s 4294967297 a", "?"}, // 1 in 32 bits
		{"EVAL s 99999999999999999999 a", "?"},
		{`EVAL s "" a`, "?"},
		{"FCALL f 1 k x", "3:RW,access,update"},
		{"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "1:OW,update 3:RO,access 4:RO,access"},
		{"LMPOP 2 a b LEFT", "2:RW,access,delete 3:RW,access,delete"},
		{"BZMPOP 0 1 z MIN", "3:RW,access,delete"},

		{"SORT k", "1:RO,access"},
		{"SORT k ALPHA DESC LIMIT 0 5 STORE d", fmt.Sprintf(sortStore, 8)},
		{"SORT k store a StOrE b", fmt.Sprintf(sortStore, 5)},
		{"SORT k STORE get STORE d", fmt.Sprintf(sortStore, 5)},
		{"SORT k BY STORE STORE d", fmt.Sprintf(sortStore, 5)},
		{`SORT k STORE\0x d`, fmt.Sprintf(sortStore, 3)},
		{"SORT k BY w_* GET #", "1:RO,access ?"},
		{"SORT k BY nosort GET v_*", "1:RO,access ?"},
		{"SORT k STORE", "1:RO,access ?"},
		{"SORT k NEWWORD STORE d", fmt.Sprintf(sortStore, 4) + " ?"},
		{"SORT_RO k LIMIT 0 1", "1:RO,access"},
		{"SORT_RO k STORE d", "1:RO,access ?"},

		{"GEORADIUS k 0 0 1 m", "1:RO,access"},
		{"GEORADIUS k 0 0 1 m COUNT 1 ANY STORE d", fmt.Sprintf(sortStore, 10)},
		{"GEORADIUS k 0 0 1 m STORE a STOREDIST b", fmt.Sprintf(sortStore, 9)},
		{"GEORADIUS k 0 0 1 m STORE storedist STOREDIST b", fmt.Sprintf(sortStore, 9)},
		{"GEORADIUSBYMEMBER k STORE 1 m STORE d", fmt.Sprintf(sortStore, 6)},
		{"GEORADIUS k 0 0 1 m NEWWORD STORE d", fmt.Sprintf(sortStore, 8) + " ?"},
		{"GEORADIUS_RO k 0 0 1 m STORE d", "1:RO,access"},

		{"MIGRATE h 1 k 0 100", "3:RW,access,delete"},
		{`MIGRATE h 1 "" 0 100 COPY AUTH keys KEYS a b`,
			"10:RW,access,delete 11:RW,access,delete"},
		{`MIGRATE h 1 "" 0 100 AUTH2 u KEYS KEYS a`, "10:RW,access,delete"},
		{`MIGRATE h 1 "" 0 100 KEYS`, ""},
		{"MIGRATE h 1 k 0 100 KEYS a", "3:RW,access,delete 7:RW,access,delete ?"},
		{"MIGRATE h 1 k 0", "3:RW,access,delete ?"},

		{"XREAD STREAMS a b 0 0", "2:RO,access 3:RO,access"},
		{"XREAD COUNT 1 BLOCK 0 streams a 0", "6:RO,access"},
		{"XREADGROUP GROUP STREAMS c STREAMS a >", "5:RO,access"},
		{"XREADGROUP COUNT 1 GROUP g STREAMS STREAMS a >", "7:RO,access"},
		{"XREADGROUP GROUP g c NOACK STREAMS a b > >", "6:RO,access 7:RO,access"},
		{"XREAD STREAMS a", "?"},
		{"XREAD STREAMS", "?"},
		{"XREAD a b", "?"},
		{"XREADGROUP GROUP g c CLAIM 1 STREAMS a >", "7:RO,access ?"},

		{"SET k v", "1:OW,update"},
		{"SET k v EX 1 GET", "1:RW,access,update"},
		{`SET k v get\0`, "1:RW,access,update"},
		{"SET k GET", "1:OW,update"},
		{"SET k", "1:RW,access,update ?"},
		{"BITFIELD k GET u8 0 GET u8 8", "1:RO,access"},
		{"BITFIELD k OVERFLOW WRAP GET u8 0", "1:RO,access"},
		{"BITFIELD k GET u8 0 SET u8 0 1", "1:RW,access,update"},
		{"BITFIELD k NEWWORD", "1:RW,access,update"},
		{"BITFIELD k", "1:RO,access"},
	} {
		args := split(tt.line)
		if got := showKeys(Builtin().Lookup(args).Keys(args, nil)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.line, got, tt.want)
		}
	}
}

// TestKeySpecs has the forms that no command of the built-in table uses, as modules may.
func TestKeySpecs(t *testing.T) {
	index := func(i int) BeginSearch { return BeginSearch{Kind: BeginIndex, Index: i} }
	word := func(from int) BeginSearch {
		return BeginSearch{Kind: BeginKeyword, Keyword: "keys", StartFrom: from}
	}
	all := FindKeys{Kind: FindRange, LastKey: -1, Step: 1}
	for _, tt := range []struct {
		name  string
		flags Flags
		spec  KeySpec
		line  string
		want  string
	}{
		{"from the end", 0, KeySpec{KeyRO, word(-2), all}, "c keys a keys b c", "4:RO 5:RO"},
		{"from the end, not found", 0, KeySpec{KeyRO, word(-4), all}, "c keys a keys b c", ""},
		{"the keyword is the name", 0, KeySpec{KeyRO, word(-1), all}, "keys a b", ""},
		{"the keyword is last", 0, KeySpec{KeyRO, word(1), all}, "c a keys", ""},
		{"a third", 0, KeySpec{KeyRO, index(1), FindKeys{Kind: FindRange, LastKey: -1, Step: 1,
			Limit: 3}}, "c a b c d e f", "1:RO 2:RO"},
		{"number and steps", 0, KeySpec{KeyOW, index(1), FindKeys{Kind: FindKeyNum, FirstKey: 1,
			Step: 2}}, "c 2 a 1 b 2", "2:OW 4:OW"},
		{"no step", 0, KeySpec{KeyRO, index(1), FindKeys{Kind: FindRange}}, "c a", "?"},
		{"backwards", 0, KeySpec{KeyRO, index(1), FindKeys{Kind: FindRange, LastKey: -9,
			Step: 1}}, "c a", "?"},
		{"the name", 0, KeySpec{KeyRO, index(0), all}, "c a", "?"},
		{"negative", 0, KeySpec{KeyRO, index(-5), all}, "c a", "?"},
		{"number out of reach", 0, KeySpec{KeyRO, index(1), FindKeys{Kind: FindKeyNum,
			KeyNumIdx: -5, Step: 1}}, "c 1 a", "?"},
		{"unknown", 0, KeySpec{KeyRO, BeginSearch{}, all}, "c a", "?"},
		{"unknown find", 0, KeySpec{KeyRO, index(1), FindKeys{}}, "c a", "?"},
		{"incomplete", 0, KeySpec{KeyRO | KeyIncomplete, index(1), all}, "c a", "1:RO ?"},
		{"variable flags", 0, KeySpec{KeyRW | KeyVariableFlags, index(1), all}, "c a", "1:RW"},
		{"a module's own code", FlagModule, KeySpec{KeyRW | KeyVariableFlags, index(1), all},
			"c a", "1:RW ?"},
		{"not a key", 0, KeySpec{KeyNotKey, index(1), all}, "c a", ""},
	} {
		cmd := Command{Name: "c", Flags: tt.flags, KeySpecs: []KeySpec{tt.spec}}
		if got := showKeys(cmd.Keys(split(tt.line), nil)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	silent := Command{Name: "c", Flags: FlagModule | FlagMovableKeys}
	if got := showKeys(silent.Keys(split("c a"), nil)); got != "?" {
		t.Errorf("a module that does not say: %q", got)
	}
}

func TestKeysAppendWithoutAllocating(t *testing.T) {
	args := split("MSET a 1 b 2")
	cmd := Builtin().Lookup(args)
	dst := append(make([]Key, 0, 8), Key{Pos: 99})
	if n := testing.AllocsPerRun(100, func() {
		if keys, _ := cmd.Keys(args, dst); len(keys) != 3 || keys[0].Pos != 99 {
			t.Fatalf("%v", keys)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
