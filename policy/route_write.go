package policy

import "slices"

// writeKind says whether requests of a command can change data, as far as routes care.
type writeKind uint8

const (
	notWrite  writeKind = iota
	writeKeys           // those that it names, or all where it names none
	writeCode           // a script or a function, by the keys that it declares
	mayRead             // as writeKeys, but what it does depends on its options
)

// writer is what routes care for in a command.
type writer struct {
	kind writeKind
	key  int // the place of its one key; 0: its arguments say which keys there are
}

func newWriter(c *Command) writer {
	w := writer{kind: writeKindOf(c)}
	if w.kind == writeKeys {
		w.key = c.oneKey()
	}
	return w
}

// writeKindOf goes by the flags that the server gives the command. What carries neither "write"
// nor "readonly" changes no data, except for code, which may call anything, for commands of
// modules, which may forget to say so, and for names that the table does not have: one may be that
// of a command which was renamed. PUBLISH is no write: a message is not kept. Neither is PFCOUNT,
// though it may replicate: what it changes is a cached count.
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
// options. Each says whether a request only reads, and if not, whether all keys that it changes are
// among those that it names.
var mayReads = map[string]func(c *Command, args [][]byte) (reads, named bool){
	"sort":              sortReads,
	"georadius":         keysRead,
	"georadiusbymember": keysRead,
	"bitfield":          keysRead,
	"getex":             func(_ *Command, args [][]byte) (bool, bool) { return len(args) == 2, true },
}

// sortReads: without STORE, SORT only reads. What its patterns lead to is read in any case.
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
