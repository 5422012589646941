package policy

import (
	"errors"
	"strings"
	"testing"
)

// list and pairs write replies briefly: an array, and a map in its RESP2 form.
func list(items ...any) []any  { return items }
func pairs(items ...any) []any { return items }

// entryOf is a whole entry with the given specifications and subcommands.
func entryOf(name string, specs, subs []any) []any {
	return list(name, int64(-2), list("write", "newflag"), int64(1), int64(-1), int64(1),
		list("@write", "@search"), list("a tip"), specs, subs)
}

var (
	rangeSpec2 = pairs("notes", "some", "flags", list("RW", "access", "newflag"),
		"begin_search", pairs("type", "index", "spec", pairs("index", int64(1))),
		"find_keys", pairs("type", "range", "spec",
			pairs("lastkey", int64(-1), "keystep", int64(2), "limit", int64(0))))
	keywordSpec3 = map[any]any{
		"flags": map[any]any{"RO": true},
		"begin_search": map[any]any{"type": []byte("keyword"),
			"spec": map[any]any{"keyword": "KEYS", "startfrom": 3}},
		"find_keys": map[string]any{"type": "keynum", "spec": map[any]any{
			"keynumidx": int64(0), "firstkey": int64(1), "keystep": int64(1)}},
	}
	newSpec = pairs("flags", list(), "begin_search", pairs("type", "oracle", "spec", list()),
		"find_keys", pairs("type", "unknown", "spec", list()))
)

func TestNewTable(t *testing.T) {
	table, err := NewTable(list(
		nil,
		entryOf("Mod.Put", list(rangeSpec2, keywordSpec3, newSpec), nil),
		entryOf("box", list(), list(
			list([]byte("box|open"), 2, list("admin"), int64(0), int64(0), int64(0)))),
	))
	if err != nil {
		t.Fatal(err)
	}
	put := table.ByName("MOD.PUT")
	if put == nil || put.Arity != -2 || put.Flags != FlagWrite || put.Group != "generic" {
		t.Fatalf("mod.put is %+v", put)
	}
	if got := table.CategoryNames(put.Categories); got != "write,search" {
		t.Errorf("categories: %s", got)
	}
	want := []KeySpec{
		{KeyRW | KeyAccess, BeginSearch{Kind: BeginIndex, Index: 1},
			FindKeys{Kind: FindRange, LastKey: -1, Step: 2}},
		{KeyRO, BeginSearch{Kind: BeginKeyword, Keyword: "keys", StartFrom: 3},
			FindKeys{Kind: FindKeyNum, FirstKey: 1, Step: 1}},
		{},
	}
	for i, spec := range put.KeySpecs {
		if spec != want[i] {
			t.Errorf("specification %d: %+v", i, spec)
		}
	}
	open := table.Lookup(split("BOX OPEN"))
	if open.Name != "box|open" || open.Parent != table.ByName("box") || open.Arity != 2 {
		t.Errorf("box|open is %+v", open)
	}
}

// TestNewTableInherits takes from the built-in table what COMMAND does not report.
func TestNewTableInherits(t *testing.T) {
	table, err := NewTable(list(
		list("eval", int64(-3), list("noscript"), int64(0), int64(0), int64(0)),
		list("debug", int64(-2), list("module"), int64(0), int64(0), int64(0)),
	))
	if err != nil {
		t.Fatal(err)
	}
	if c := table.ByName("eval"); c.Flags != FlagNoScript|FlagMayReplicate || c.Group != "scripting" {
		t.Errorf("eval: %v %s", c.Flags, c.Group)
	}
	if c := table.ByName("debug"); c.Flags != FlagModule || c.Group != "module" {
		t.Errorf("a module's debug: %v %s", c.Flags, c.Group)
	}
}

// TestLegacyKeys has entries of six fields, which say where keys are by three numbers.
func TestLegacyKeys(t *testing.T) {
	table, err := NewTable(list(
		list("put", int64(-3), list("write"), int64(1), int64(-1), int64(2)),
		list("two", int64(3), list("write"), int64(1), int64(2), int64(1)),
		list("move", int64(-3), list("movablekeys"), int64(1), int64(1), int64(1)),
	))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"put a 1 b 2": "1:RW,access,update 3:RW,access,update",
		"two a b":     "1:RW,access,update 2:RW,access,update",
		"move a b":    "1:RW,access,update ?",
	} {
		args := split(line)
		if got := showKeys(table.Lookup(args).Keys(args, nil)); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestNewTableErrors(t *testing.T) {
	get := list("get", int64(2), list(), int64(1), int64(1), int64(1))
	with := func(field int, v any) []any {
		e := append(list(), entryOf("x", list(rangeSpec2), nil)...)
		e[field] = v
		return list(get, e)
	}
	spec := func(begin, find any) []any {
		return with(fieldKeySpecs, list(pairs("flags", list(), "begin_search", begin,
			"find_keys", find)))
	}
	for _, tt := range []struct {
		name  string
		reply any
		want  string
	}{
		{"not an array", "OK", "want an array of commands, got string"},
		{"nothing", list(), "no command in it"},
		{"only unknown", list(nil), "no command in it"},
		{"no entry", list(get, "get"), `entry 1: want an array of 6 fields or more, got "get"`},
		{"short", list(get[:5]), "entry 0: want an array of 6 fields or more, got an array of 5"},
		{"name", with(fieldName, int64(1)), "entry 1: name: want a word, got 1 (int64)"},
		{"empty name", with(fieldName, ""), `entry 1: name: want a word, got ""`},
		{"arity", with(fieldArity, "2"), `entry 1: command "x": arity: want a number, got "2"`},
		{"huge arity", with(fieldArity, int64(1)<<40), `command "x": arity: want a number`},
		{"flags", with(fieldFlags, int64(1)), `command "x": flags: want words, got 1 (int64)`},
		{"a flag", with(fieldFlags, list(nil)), `command "x": flags: want words`},
		{"categories", with(fieldCategories, "@x"), `ACL categories: want words, got "@x"`},
		{"a category", with(fieldCategories, list("@")), "an ACL category without a name"},
		{"specs", with(fieldKeySpecs, "none"), "key specifications: want an array"},
		{"a spec", with(fieldKeySpecs, list("none")), "key specification 0: want a map"},
		{"odd map", with(fieldKeySpecs, list(list("flags"))), "key specification 0: want a map"},
		{"no halves", with(fieldKeySpecs, list(list())), "begin_search: want a type and a spec"},
		{"no index", spec(pairs("type", "index", "spec", pairs()), nil),
			"begin_search: index: want a number, got nothing"},
		{"no keyword", spec(pairs("type", "keyword", "spec", pairs()), nil),
			"begin_search: keyword: want a word"},
		{"no find", spec(pairs("type", "unknown", "spec", pairs()), nil),
			"find_keys: want a type and a spec"},
		{"no range", spec(pairs("type", "unknown", "spec", pairs()),
			pairs("type", "range", "spec", pairs())), "want a number, got nothing"},
		{"subs", with(fieldSubs, int64(0)), "subcommands: want one level of arrays"},
		{"a stranger", with(fieldSubs, list(get)), `subcommand "get" is not named after it`},
		{"too deep", with(fieldSubs, list(entryOf("x|y", nil, list(get)))),
			`subcommand of "x": command "x|y": subcommands: want one level`},
		{"twice", list(get, get), `command "get" appears twice`},
		{"legacy", list(list("x", int64(1), list(), nil, int64(1), int64(1))),
			"first key, last key and step: want numbers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTable(tt.reply)
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestTooManyCategories(t *testing.T) {
	var names []any
	for i := range maxCategories {
		names = append(names, "@own"+strings.Repeat("x", i))
	}
	_, err := NewTable(list(list("x", int64(1), list(), int64(0), int64(0), int64(0), names)))
	if err == nil || !strings.Contains(err.Error(), "more than 64 ACL categories") {
		t.Error(err)
	}
}

func TestBuiltinTextErrors(t *testing.T) {
	for text, want := range map[string]string{
		"get\t2\tstring":                          "line 1: 3 columns",
		"#\nget\tx\tstring\t-\t-":                 "line 2: arity",
		"get\t2\tstring\tnosuch\t-":               `unknown flag "nosuch"`,
		"get\t2\tstring\t-\t@":                    "without a name",
		"get\t2\tstring\t-\t-\tRO; index 1":       "2 parts",
		"get\t2\tstring\t-\t-\tXX; unknown; x":    `unknown flag "XX"`,
		"get\t2\tstring\t-\t-\tRO; index x; x":    "key specification",
		"get\t2\tstring\t-\t-\tRO; what; unknown": `unknown kind "what"`,
		"get\t2\tstring\t-\t-\tRO; unknown; what": `unknown kind "what"`,
		"config|get\t2\tserver\t-\t-":             "without its container",
	} {
		if _, err := parseBuiltin(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
