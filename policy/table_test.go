package policy

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	table := Builtin()
	for _, tt := range []struct{ line, want string }{
		{"get k", "get"}, {"GET k", "get"}, {"gEt", "get"},
		{"ZRangeByScore z 0 1", "zrangebyscore"},
		{"GEORADIUSBYMEMBER_RO", "georadiusbymember_ro"}, // longer than two words of eight bytes
		{"GEORADIUSBYMEMBERxRO", ""},
		{"restore-asking", "restore-asking"},
		{"eval_ro", "eval_ro"}, {"eval\x7fro", ""}, // a careless fold of '_'
		{"config set a b", "config|set"}, {"CONFIG SeT", "config|set"},
		{"CONFIG", "config"}, {"CONFIG nosuch", "config"}, {`CONFIG ""`, "config"},
		{"config|set a b", ""}, {"set|x k", ""},
		{"COMMAND", "command"}, {"COMMAND docs", "command|docs"},
		{"GET docs", "get"},
		{"nosuch", ""}, {`""`, ""}, {"g", ""}, {"ge", ""}, {"gett", ""}, {"", ""},
		{`FLUSHALL\0`, "flushall"}, {`flushall\0x`, "flushall"}, {`\0flushall`, ""},
		{`nosuch\0x`, ""}, {`CONFIG\0x SET\0y`, "config|set"}, {`CONFIG SETX\0y`, "config"},
		{"\xc7ET k", ""}, {"get\x80", ""},
	} {
		if got := table.Lookup(split(tt.line)); got.Name != tt.want {
			t.Errorf("Lookup(%q) = %q, want %q", tt.line, got.Name, tt.want)
		}
	}
	if table.Lookup(nil) != table.Unknown() {
		t.Error("Lookup(nil) is not Unknown")
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := Builtin()
	requests := [][][]byte{split("GET k"), split("CONFIG SET a b"), split(`NOSUCH\0`)}
	if n := testing.AllocsPerRun(100, func() {
		for _, args := range requests {
			table.Lookup(args)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTableIsConsistent checks what callers build on: dense IDs, and every name found again.
func TestTableIsConsistent(t *testing.T) {
	table := Builtin()
	if table.Len() != len(table.All()) || table.Len() < 350 {
		t.Fatalf("Len %d, All %d", table.Len(), len(table.All()))
	}
	if u := table.Unknown(); u.ID != 0 || u.Name != "" || u.IsContainer() || !u.AcceptsArgs(7) {
		t.Errorf("the unknown command is %+v", u)
	}
	for id, cmd := range table.All() {
		if cmd.ID != id {
			t.Errorf("%s: ID %d at %d", cmd.Name, cmd.ID, id)
		}
		if id == 0 {
			continue
		}
		line := strings.ToUpper(strings.Replace(cmd.Name, "|", " ", 1))
		if got := table.Lookup(split(line)); got != cmd {
			t.Errorf("Lookup(%q) = %q", line, got.Name)
		}
		if table.ByName(strings.ToUpper(cmd.Name)) != cmd {
			t.Errorf("ByName(%q) does not find it", cmd.Name)
		}
		if cmd.Arity == 0 || cmd.Group == "" || cmd.Categories == 0 {
			t.Errorf("%s is incomplete: %+v", cmd.Name, cmd)
		}
		if cmd.Parent != nil && (cmd.IsContainer() || !cmd.Parent.IsContainer()) {
			t.Errorf("%s: wrong family", cmd.Name)
		}
	}
}

// TestIndexProbesAreShort guards the look-up time of the worst name.
func TestIndexProbesAreShort(t *testing.T) {
	index, run, longest := Builtin().index, 0, 0
	for i := range 2 * len(index.slots) {
		if run++; index.slots[i%len(index.slots)].cmd == nil {
			run = 0
		}
		longest = max(longest, run)
	}
	if longest > 8 {
		t.Errorf("%d slots in a row are taken", longest)
	}
}

func TestLower8(t *testing.T) {
	for c := range 256 {
		want := uint64(lower(byte(c))) * 0x0101010101010101
		if got := lower8(uint64(c) * 0x0101010101010101); got != want {
			t.Errorf("lower8(%#x...) = %#x, want %#x", c, got, want)
		}
	}
}

func TestAcceptsArgs(t *testing.T) {
	table := Builtin()
	for _, tt := range []struct {
		name string
		n    int
		want bool
	}{
		{"get", 2, true}, {"get", 1, false}, {"get", 3, false},
		{"set", 2, false}, {"set", 3, true}, {"set", 9, true},
		{"config|set", 3, false}, {"config|set", 4, true},
	} {
		if got := table.ByName(tt.name).AcceptsArgs(tt.n); got != tt.want {
			t.Errorf("%s, %d words: %v", tt.name, tt.n, got)
		}
	}
}

func TestNames(t *testing.T) {
	table := Builtin()
	set := table.ByName("set")
	if got := set.Flags.String(); got != "write,denyoom" {
		t.Errorf("flags of set: %s", got)
	}
	if got := table.CategoryNames(set.Categories); got != "write,string,slow" {
		t.Errorf("categories of set: %s", got)
	}
	if got := (KeyRW | KeyAccess | KeyUpdate).String(); got != "RW,access,update" {
		t.Errorf("key flags: %s", got)
	}
	if got, ok := table.Category("@DangerouS"); !ok || got != CatDangerous {
		t.Errorf("@dangerous: %v %v", got, ok)
	}
	if _, ok := table.Category("nosuch"); ok {
		t.Error("@nosuch is known")
	}
	if !KeyOW.Writes() || (KeyRO | KeyAccess).Writes() {
		t.Error("Writes is wrong")
	}
}

func TestGroups(t *testing.T) {
	table := Builtin()
	for name, want := range map[string]string{
		"get": "string", "zadd": "sorted_set", "config|set": "server", "del": "generic",
		"eval": "scripting", "xadd": "stream", "multi": "transactions",
	} {
		if got := table.ByName(name).Group; got != want {
			t.Errorf("%s: group %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		flags Flags
		cats  Categories
		want  string
	}{
		{0, CatWrite | CatHash | CatFast, "hash"},
		{0, CatAdmin | CatDangerous | CatSlow, "server"},
		{FlagModule, CatWrite | CatHash, "module"},
		{0, CatSlow, "generic"},
	} {
		if got := groupOf(tt.flags, tt.cats); got != tt.want {
			t.Errorf("groupOf(%v, %v) = %q, want %q", tt.flags, tt.cats, got, tt.want)
		}
	}
}
