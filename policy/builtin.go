package policy

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// To regenerate builtin.txt, unpack the source of a Valkey release and run:
//
//	VALKEY_SRC=/the/folder go generate ./policy   (absolute; it holds src/ and COPYING)
//
//go:generate go run ./internal/gen -out builtin.txt

//go:embed builtin.txt
var builtinText string

// Builtin is the compiled-in table: the commands of one Valkey release, made from its BSD-licensed
// command descriptions (builtin.txt names the release and carries the notice). It serves until the
// server's own table has arrived, for checks without a server, and for what COMMAND does not
// report.
func Builtin() *Table { return builtin() }

// builtin panics only if the compiled-in text is broken; the tests would fail first.
var builtin = sync.OnceValue(func() *Table {
	t, err := parseBuiltin(builtinText)
	if err != nil {
		panic("policy: builtin.txt: " + err.Error())
	}
	return t
})

// parseBuiltin reads lines of tab-separated columns: name, arity, group, flags, categories, and
// one column for each key specification. Subcommands stand anywhere, as "config|set"; lines that
// begin with # are comments.
func parseBuiltin(text string) (*Table, error) {
	categories := newCategoryNames()
	var entries, subs []entry
	for number, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseBuiltinLine(line, categories)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		if strings.Contains(e.name, "|") {
			subs = append(subs, e)
		} else {
			entries = append(entries, e)
		}
	}
	at := make(map[string]*entry, len(entries))
	for i := range entries {
		at[entries[i].name] = &entries[i]
	}
	for _, sub := range subs {
		name, _, _ := strings.Cut(sub.name, "|")
		parent := at[name]
		if parent == nil {
			return nil, fmt.Errorf("subcommand %q without its container", sub.name)
		}
		parent.subs = append(parent.subs, sub)
	}
	return newTable(entries, categories, nil)
}

func parseBuiltinLine(line string, categories *categoryNames) (entry, error) {
	columns := strings.Split(line, "\t")
	if len(columns) < 5 {
		return entry{}, fmt.Errorf("%d columns, want 5 or more", len(columns))
	}
	arity, err := strconv.Atoi(columns[1])
	if err != nil {
		return entry{}, fmt.Errorf("arity: %w", err)
	}
	e := entry{name: columns[0], arity: arity, group: columns[2]}
	for _, name := range splitNames(columns[3]) {
		if flagByName[name] == 0 {
			return e, fmt.Errorf("unknown flag %q", name)
		}
		e.flags |= flagByName[name]
	}
	for _, name := range splitNames(columns[4]) {
		bit, err := categories.intern(name)
		if err != nil {
			return e, err
		}
		e.cats |= bit
	}
	for _, column := range columns[5:] {
		spec, err := parseBuiltinSpec(column)
		if err != nil {
			return e, fmt.Errorf("key specification %q: %w", column, err)
		}
		e.specs = append(e.specs, spec)
	}
	return e, nil
}

// parseBuiltinSpec reads "RO,access; index 1; range 0 1 0" (last key, step, limit),
// "RO; keyword streams 1; keynum 0 1 1" (index of the number, of the first key, step) and
// "RO; unknown; unknown".
func parseBuiltinSpec(text string) (spec KeySpec, err error) {
	parts := strings.Split(text, "; ")
	if len(parts) != 3 {
		return spec, fmt.Errorf("%d parts, want 3", len(parts))
	}
	for _, name := range splitNames(parts[0]) {
		bit := keyFlagByName[strings.ToLower(name)]
		if bit == 0 {
			return spec, fmt.Errorf("unknown flag %q", name)
		}
		spec.Flags |= bit
	}
	b, f := &spec.Begin, &spec.Find
	switch kind, rest, _ := strings.Cut(parts[1], " "); kind {
	case "index":
		b.Kind = BeginIndex
		_, err = fmt.Sscan(rest, &b.Index)
	case "keyword":
		b.Kind = BeginKeyword
		_, err = fmt.Sscan(rest, &b.Keyword, &b.StartFrom)
	case "unknown":
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return spec, err
	}
	switch kind, rest, _ := strings.Cut(parts[2], " "); kind {
	case "range":
		f.Kind = FindRange
		_, err = fmt.Sscan(rest, &f.LastKey, &f.Step, &f.Limit)
	case "keynum":
		f.Kind = FindKeyNum
		_, err = fmt.Sscan(rest, &f.KeyNumIdx, &f.FirstKey, &f.Step)
	case "unknown":
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	return spec, err
}

// splitNames splits a list of names; "-" is an empty one.
func splitNames(list string) []string {
	if list == "-" {
		return nil
	}
	return strings.Split(list, ",")
}
