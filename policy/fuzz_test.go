package policy

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzLookup compares with the plain way: fold, cut at NUL, and ask maps.
func FuzzLookup(f *testing.F) {
	for _, seed := range [][2]string{{"GET", "k"}, {"config", "SET"}, {"FLUSHALL\x00x", ""},
		{"restore\rasking", ""}, {"georadiusbymember_ro", "k"}, {"CLUSTER", "reset\x00"}} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	table := Builtin()
	f.Fuzz(func(t *testing.T, name, word []byte) {
		want := table.Unknown()
		if c := table.byName[plainFold(name)]; c != nil && c.Parent == nil {
			want = c
			if sub := table.byName[c.Name+"|"+plainFold(word)]; sub != nil {
				want = sub
			}
		}
		if got := table.Lookup([][]byte{name, word}); got != want {
			t.Errorf("Lookup(%q, %q) = %q, want %q", name, word, got.Name, want.Name)
		}
	})
}

func plainFold(name []byte) string {
	name, _, _ = bytes.Cut(name, []byte{0})
	return string(bytes.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 32
		}
		return r
	}, name))
}

// FuzzKeys takes a request with a line for each word, and checks the promises to callers.
func FuzzKeys(f *testing.F) {
	for _, line := range samples {
		f.Add([]byte(strings.ReplaceAll(line, " ", "\n")))
	}
	table := Builtin()
	f.Fuzz(func(t *testing.T, request []byte) {
		args := bytes.Split(request, []byte{'\n'})
		before := Key{Pos: -1}
		keys, _ := table.Lookup(args).Keys(args, []Key{before})
		if len(keys) == 0 || keys[0] != before {
			t.Fatalf("what was in dst is gone: %v", keys)
		}
		for _, key := range keys[1:] {
			if key.Pos < 1 || key.Pos >= len(args) {
				t.Errorf("%q: key at %d of %d", args, key.Pos, len(args))
			}
			if key.Flags&(KeyRO|KeyRW|KeyOW|KeyRM) == 0 {
				t.Errorf("%q: key at %d with flags %q", args, key.Pos, key.Flags)
			}
		}
	})
}

// FuzzNewTable makes replies of any shape. A table that is accepted must stand up to use.
func FuzzNewTable(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add(bytes.Repeat([]byte{7, 41, 2}, 40))
	f.Add(bytes.Repeat([]byte{255, 0, 128, 3}, 60))
	requests := [][][]byte{nil, split("x"), split("x 1 2 3"), split("c d"), split("get k 9 k"),
		split("y a keys 2 a b")}
	f.Fuzz(func(t *testing.T, program []byte) {
		m := &replyMaker{program}
		var reply []any
		for range m.below(4) {
			reply = append(reply, m.entry(0))
		}
		table, err := NewTable(reply)
		if err != nil {
			return
		}
		for _, args := range requests {
			table.Lookup(args)
			for _, cmd := range table.All() {
				keys, _ := cmd.Keys(args, nil)
				for _, key := range keys {
					if key.Pos < 1 || key.Pos >= len(args) {
						t.Fatalf("%s: key at %d of %d", cmd.Name, key.Pos, len(args))
					}
				}
			}
		}
		rules := []RuleSpec{{Name: "r", Action: "deny", Commands: []string{"*", "@read"}}}
		if _, err := New(Options{Table: table, Rules: rules}); err != nil {
			t.Fatal(err)
		}
	})
}

// replyMaker builds a reply to COMMAND that is mostly well formed, as the bytes of program say.
// When they run out, every choice is the first.
type replyMaker struct{ program []byte }

func (m *replyMaker) next() byte {
	if len(m.program) == 0 {
		return 0
	}
	b := m.program[0]
	m.program = m.program[1:]
	return b
}

func (m *replyMaker) below(n int) int { return int(m.next()) % n }

// or returns v, and now and then something else in its place.
func (m *replyMaker) or(v any) any {
	switch m.next() {
	case 255:
		return nil
	case 254:
		return "word"
	case 253:
		return []any{int64(1)}
	case 252:
		return map[any]any{int64(1): "x"}
	}
	return v
}

func (m *replyMaker) word(of ...string) any { return m.or(of[m.below(len(of))]) }

func (m *replyMaker) number() any {
	n := int64(int8(m.next()))
	if n == 127 || n == -128 {
		n <<= 24 + m.below(8)
	}
	return m.or(n)
}

func (m *replyMaker) words(of ...string) any {
	list := []any{}
	for range m.below(3) {
		list = append(list, m.word(of...))
	}
	return m.or(list)
}

func (m *replyMaker) entry(depth int) any {
	name := m.word("x", "y", "get", "set", "sort", "xread", "georadius", "migrate", "c")
	if depth > 0 {
		name = m.word("x|a", "c|d", "get|e", "c|")
	}
	e := []any{name, m.number(),
		m.words("write", "module", "movablekeys", "odd"), m.number(), m.number(), m.number()}
	if m.below(5) == 0 {
		return m.or(e)
	}
	var specs, subs []any
	for range m.below(3) {
		specs = append(specs, m.spec())
	}
	for range m.below(3 - depth) {
		subs = append(subs, m.entry(depth+1))
	}
	return m.or(append(e, m.words("@read", "@own"), nil, m.or(specs), m.or(subs)))
}

func (m *replyMaker) spec() any {
	begin := []any{"index", m.number(), "keyword", m.word("keys", "K"), "startfrom", m.number()}
	find := map[any]any{"lastkey": m.number(), "keystep": m.number(), "limit": m.number(),
		"keynumidx": m.number(), "firstkey": m.number()}
	return m.or([]any{"flags", m.words("RO", "OW", "not_key", "incomplete", "variable_flags"),
		"begin_search", m.or(map[string]any{
			"type": m.word("index", "keyword", "unknown"), "spec": m.or(begin)}),
		"find_keys", m.or(map[any]any{
			"type": m.word("range", "keynum", "unknown"), "spec": m.or(find)})})
}

// FuzzRules uses any text as a rule. An accepted name must match its own command.
func FuzzRules(f *testing.F) {
	for _, seed := range []string{"FlushAll", "config set", "config|set", "@dangerous", "*",
		"@", "|", "a|b|c", "flushal", "ft.search", " get ", "\x00", "@@all", "cluster|"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := New(Options{Rules: []RuleSpec{
			{Name: "r", Action: "deny", Commands: []string{name}}}})
		if err != nil {
			if !strings.HasPrefix(err.Error(), `rule "r": commands: `) {
				t.Errorf("%q: %v", name, err)
			}
			return
		}
		if cmd := p.Table().ByName(name); cmd != nil && cmd != p.Table().Unknown() {
			if v := p.Decide(&Request{Cmd: cmd}); v.Action != Deny {
				t.Errorf("%q does not match %s", name, cmd.Name)
			}
		}
	})
}
