package policy

// keyFunc finds keys that specifications cannot describe. It appends to dst like Command.Keys.
type keyFunc func(c *Command, args [][]byte, dst []Key) (keys []Key, complete bool)

// Keys appends to dst every key among the arguments of a request, with the command's use of it. It
// follows the key specifications as the server's getKeysUsingKeySpecs does (db.c), and reads the
// arguments as the command itself does where the specifications are not enough (keys_special.go).
//
// complete is false when there may be keys that were not found: a module that keeps its keys to
// itself, a specification of an unknown kind, SORT with BY or GET patterns, or arguments that do
// not fit the command, which the server will almost certainly refuse. The keys found up to there
// are still appended. Keys that a script or function touches without declaring them are not
// arguments, and do not make the result incomplete.
//
// Keys keeps nothing of args, and allocates nothing when dst has room.
func (c *Command) Keys(args [][]byte, dst []Key) (keys []Key, complete bool) {
	if c.special != nil {
		return c.special(c, args, dst)
	}
	return c.specKeys(args, dst)
}

// specKeys finds the keys by the specifications alone.
func (c *Command) specKeys(args [][]byte, dst []Key) (keys []Key, complete bool) {
	complete = true
	if c.Flags.Has(FlagModule|FlagMovableKeys) && len(c.KeySpecs) == 0 {
		complete = false // only the module's own code knows its keys
	}
	for i := range c.KeySpecs {
		spec := &c.KeySpecs[i]
		if spec.Flags.Has(KeyNotKey) {
			continue
		}
		var ok bool
		if dst, ok = spec.find(args, dst); !ok || spec.Flags.Has(KeyIncomplete) {
			complete = false
		}
		if spec.Flags.Has(KeyVariableFlags) && c.Flags.Has(FlagModule) {
			complete = false // the module's own code has the last word
		}
	}
	return dst, complete
}

// find appends the keys of one specification. ok is false if the specification and the arguments do
// not locate them.
func (s *KeySpec) find(args [][]byte, dst []Key) (keys []Key, ok bool) {
	first, found, ok := s.Begin.find(args)
	if !ok || !found {
		return dst, ok
	}
	last := 0
	switch s.Find.Kind {
	case FindRange:
		last = s.Find.last(first, len(args))
	case FindKeyNum:
		n, ok := s.Find.count(first, args)
		if !ok {
			return dst, false
		}
		if n == 0 {
			return dst, true // "EVAL script 0"
		}
		first += s.Find.FirstKey
		last = first + (n-1)*s.Find.Step
	default:
		return dst, false
	}
	if last == first-1 {
		return dst, true // the range is empty: "PFMERGE destination"
	}
	if s.Find.Step < 1 || first < 1 || last < first || last >= len(args) {
		return dst, false
	}
	flags := s.Flags &^ (KeyIncomplete | KeyVariableFlags) // these say nothing of a key
	for pos := first; pos <= last; pos += s.Find.Step {
		dst = append(dst, Key{pos, flags})
	}
	return dst, true
}

// find returns the place of the first key. found is false if the keyword that announces the keys is
// missing, which is a valid answer; ok is false if there is no answer.
func (b *BeginSearch) find(args [][]byte) (first int, found, ok bool) {
	switch b.Kind {
	case BeginIndex:
		return b.Index, true, true
	case BeginKeyword:
		first = b.keyword(args)
		return first, first > 0, true
	}
	return 0, false, false
}

// keyword returns the position after the keyword, or 0. As in the server, a keyword in the last
// place does not count, since no key can follow it, and neither does one in the place of a name.
func (b *BeginSearch) keyword(args [][]byte) int {
	if b.StartFrom > 0 {
		for i := b.StartFrom; i < len(args)-1; i++ {
			if isWord(args[i], b.Keyword) {
				return i + 1
			}
		}
		return 0
	}
	for i := min(len(args)-1, len(args)+b.StartFrom); i > 1; i-- {
		if isWord(args[i], b.Keyword) {
			return i + 1
		}
	}
	return 0
}

// last returns the position of the last argument of a range.
func (f *FindKeys) last(first, argc int) int {
	switch {
	case f.LastKey >= 0:
		return first + f.LastKey
	case f.Limit <= 1:
		return argc + f.LastKey
	default:
		return first + (argc-first)/f.Limit + f.LastKey
	}
}

// count reads the number of keys. It is bounded by the number of arguments.
func (f *FindKeys) count(first int, args [][]byte) (n int, ok bool) {
	at := first + f.KeyNumIdx
	if at < 1 || at >= len(args) {
		return 0, false
	}
	n, ok = parseCount(args[at])
	return n, ok && n <= len(args)
}

// parseCount reads a number of keys as strictly as the server's string2ll does: digits only, no
// sign, no leading zero, no space. It refuses numbers too large for a request.
func parseCount(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
