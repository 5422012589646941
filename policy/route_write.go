package policy

// writeKind says whether requests of a command can change data, as far as routes care.
type writeKind uint8

const (
	notWrite  writeKind = iota
	writeKeys           // those that it names, or all where it names none
	writeCode           // a script or a function, by the keys that it declares
	mayRead             // as writeKeys, but what it does depends on its options
)

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
	case !c.Flags.Has(FlagWrite):
		return notWrite
	case readOptions[c.Name] != nil:
		return mayRead
	}
	return writeKeys
}

// readOptions says of commands which the server flags as writes for the sake of one option whether
// a request has none of it, and so only reads.
var readOptions = map[string]func(c *Command, args [][]byte) bool{
	"sort":              readsKeys,
	"georadius":         readsKeys,
	"georadiusbymember": readsKeys,
	"bitfield":          readsKeys,
	"getex":             func(_ *Command, args [][]byte) bool { return len(args) == 2 },
}

// onlyReads reports whether a request of a command of the kind mayRead cannot change data.
func (c *Command) onlyReads(args [][]byte) bool { return readOptions[c.Name](c, args) }

// readsKeys reports whether all keys of the request are known and only read. SORT with patterns
// reads others as well, but a word that it does not know may be an option that writes.
func readsKeys(c *Command, args [][]byte) bool {
	k := keySets.Get().(*keySet)
	defer k.release()
	complete := false
	k.keys, complete = c.Keys(args, k.keys[:0])
	for _, key := range k.keys {
		complete = complete && !key.Flags.Writes()
	}
	return complete
}

// findWritten finds the keys of a request that may write.
func (k *keySet) findWritten(args [][]byte, cmd *Command, kind writeKind) {
	complete := false
	k.keys, complete = cmd.Keys(args, k.keys[:0])
	k.unnamed = !complete
	if kind != writeCode {
		k.unnamed = k.unnamed || cmd.unnamed || len(k.keys) == 0
	}
}
