package policy

import (
	"slices"
	"strconv"
	"strings"
)

// writeKind says whether requests of a command can change data, as far as routes care.
type writeKind uint8

const (
	notWrite  writeKind = iota
	writeKeys           // the keys that it names, or all where it names none
	writeCode           // a script or a function, by the keys that it declares
	mayRead             // like writeKeys, but depending on its options
)

// writer is the part of a command that routes need.
type writer struct {
	kind writeKind
	key  int // the place of its one key; 0: its arguments determine the keys
}

func newWriter(c *Command) writer {
	w := writer{kind: writeKindOf(c)}
	if w.kind == writeKeys {
		w.key = c.oneKey()
	}
	return w
}

// writeKindOf goes by the server's flags. A command with neither "write" nor "readonly" changes no
// data, with three exceptions: code may call anything, modules may forget the flag, and a name that
// the table does not have may be a renamed command. PUBLISH is no write: a message is not kept.
// Neither is PFCOUNT, though it may replicate: it changes only a cached count.
func writeKindOf(c *Command) writeKind {
	switch {
	case c.Flags.Has(FlagReadonly):
		return notWrite
	case c.Effects.Any(EffectScript):
		return writeCode
	case c.ID == 0, c.Flags.Has(FlagModule):
		return writeKeys
	case c.IsContainer() && slices.ContainsFunc(c.Subs, (*Command).isFlaggedWrite):
		return writeKeys // the subcommand is not known
	case !c.isFlaggedWrite():
		return notWrite
	case mayReads[c.Name] != nil:
		return mayRead
	}
	return writeKeys
}

func (c *Command) isFlaggedWrite() bool { return c.Flags.Has(FlagWrite) }

// mayReads holds the commands that the server flags as writes for the sake of some of their
// options. Each function reports whether a request only reads, and if not, whether it names all
// keys that it changes.
var mayReads = map[string]func(c *Command, args [][]byte) (reads, named bool){
	"sort":              sortReads,
	"georadius":         keysRead,
	"georadiusbymember": keysRead,
	"bitfield":          keysRead,
	"getex":             func(_ *Command, args [][]byte) (bool, bool) { return len(args) == 2, true },
	"hgetex":            func(_ *Command, args [][]byte) (bool, bool) { return onlyFields(args), true },
}

// onlyFields reports that HGETEX key FIELDS n field … has no option, in front of its fields or behind.
func onlyFields(args [][]byte) bool {
	if len(args) < 5 || !strings.EqualFold(string(args[2]), "fields") {
		return false
	}
	n, err := strconv.Atoi(string(args[3]))
	return err == nil && n == len(args)-4
}

// sortReads: without STORE, SORT only reads, including the keys of its patterns.
func sortReads(c *Command, args [][]byte) (reads, named bool) {
	store, _, known := sortOptions(c, args)
	return known && store == 0, known
}

// keysRead reports whether all keys of the request are known, and only read.
func keysRead(c *Command, args [][]byte) (reads, named bool) {
	k := keySets.Get().(*keySet)
	k.keys, named = c.Keys(args, k.keys[:0])
	reads = named && !slices.ContainsFunc(k.keys, func(key Key) bool { return key.Flags.Writes() })
	k.release()
	return reads, named
}
