package policy

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// KnownEffects describes one command that can change data: the version of each family that
// introduced it, and its effects.
type KnownEffects struct {
	Name          string
	Redis, Valkey string // "8.0"; "" where the family does not have it
	Effects       Effects
}

//go:embed effects.txt
var effectsText string

// knownEffects panics only if the compiled-in text is broken; the tests would fail first.
var knownEffects = sync.OnceValue(func() map[string]KnownEffects {
	known := make(map[string]KnownEffects)
	for line := range strings.Lines(effectsText) {
		if line[0] == '#' {
			continue
		}
		k, err := parseEffects(strings.TrimSuffix(line, "\n"))
		if err != nil {
			panic("policy: effects.txt: " + err.Error())
		}
		known[k.Name] = k
	}
	return known
})

func parseEffects(line string) (k KnownEffects, err error) {
	columns := strings.Split(line, "\t")
	if len(columns) != 4 {
		return k, fmt.Errorf("%q has %d columns, want 4", line, len(columns))
	}
	some := func(text string) string { return strings.TrimPrefix(text, "-") }
	k = KnownEffects{Name: columns[0], Redis: some(columns[1]), Valkey: some(columns[2])}
	for _, name := range splitNames(columns[3]) {
		i := slices.Index(effectNames[:], name)
		if i < 0 {
			return k, fmt.Errorf("%q: unknown effect %q", line, name)
		}
		k.Effects |= 1 << i
	}
	return k, nil
}

// Unforeseen lists the table's write commands that have no entry: the server is newer than this
// version, or has modules. Rules judge them by the server's description of their keys.
func (t *Table) Unforeseen() []*Command {
	var list []*Command
	for _, cmd := range t.cmds[1:] {
		if _, known := knownEffects()[cmd.Name]; !known && cmd.Flags.Has(FlagWrite) {
			list = append(list, cmd)
		}
	}
	return list
}
