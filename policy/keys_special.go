package policy

import "bytes"

// These commands name their keys in ways that a specification cannot express, or only nearly. Each
// function reads the options as the command does, so that it finds the keys that the command will
// touch even where the server's COMMAND GETKEYS errs: there, "GEORADIUS k 0 0 1 m STORE a STORE b"
// names a, and b is written.
//
// An unknown word may belong to a newer server. The specifications are then used as far as they go,
// and complete is false.

// specialKeys holds the functions by command name. Commands of modules never use them.
var specialKeys = map[string]keyFunc{
	"sort":              sortKeys,
	"sort_ro":           sortKeys,
	"georadius":         georadiusKeys,
	"georadiusbymember": georadiusKeys,
	"migrate":           migrateKeys,
	"xread":             xreadKeys,
	"xreadgroup":        xreadKeys,
	"set":               setKeys,
	"bitfield":          bitfieldKeys,
}

// sortKeys: SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]
// [STORE destination]. Of several STOREs the last counts (sortCommandGeneric in sort.c). A BY or
// GET pattern with a * reads keys whose names come from the data.
func sortKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	if len(args) < 2 {
		return dst, false
	}
	dst = append(dst, Key{1, KeyRO | KeyAccess})
	store, patterns, known := sortOptions(c, args)
	if store > 0 {
		dst = append(dst, Key{store, KeyOW | KeyUpdate})
	}
	return dst, known && !patterns
}

// sortOptions finds the place of the destination, or 0. It reports whether patterns name keys, and
// whether all words are known.
func sortOptions(c *Command, args [][]byte) (store int, patterns, known bool) {
	known = true
	for i := 2; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case isWord(word, "asc"), isWord(word, "desc"), isWord(word, "alpha"):
		case isWord(word, "limit") && left >= 2:
			i += 2
		case (isWord(word, "by") || isWord(word, "get")) && left >= 1:
			i++
			patterns = patterns || bytes.IndexByte(args[i], '*') >= 0
		case isWord(word, "store") && left >= 1 && c.Flags.Has(FlagWrite):
			i++
			store = i
		default:
			known = false
		}
	}
	return store, patterns, known
}

// georadiusKeys: GEORADIUS key x y radius unit [options] and GEORADIUSBYMEMBER key member radius
// unit [options], where of several STORE and STOREDIST the last counts (georadiusGeneric in
// geo.c).
func georadiusKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	options := 6
	if c.Name == "georadiusbymember" {
		options = 5
	}
	if len(args) < options {
		return c.misfit(args, dst)
	}
	store := 0
	for i := options; i < len(args); i++ {
		more := i+1 < len(args)
		switch word := args[i]; {
		case isWord(word, "withdist"), isWord(word, "withhash"), isWord(word, "withcoord"),
			isWord(word, "any"), isWord(word, "asc"), isWord(word, "desc"):
		case isWord(word, "count") && more:
			i++
		case (isWord(word, "store") || isWord(word, "storedist")) && more:
			i++
			store = i
		default:
			return c.misfit(args, dst)
		}
	}
	dst = append(dst, Key{1, KeyRO | KeyAccess})
	if store > 0 {
		dst = append(dst, Key{store, KeyOW | KeyUpdate})
	}
	return dst, true
}

// migrateKeys: MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password]
// [AUTH2 user password] [KEYS key ...] (migrateCommand in cluster.c).
func migrateKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	if len(args) < 6 {
		return c.misfit(args, dst)
	}
	first, last := 3, 3
options:
	for i := 6; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case isWord(word, "copy"), isWord(word, "replace"):
		case isWord(word, "auth") && left >= 1:
			i++
		case isWord(word, "auth2") && left >= 2:
			i += 2
		case isWord(word, "keys") && len(args[3]) == 0:
			first, last = i+1, len(args)-1
			break options
		default:
			return c.misfit(args, dst)
		}
	}
	for pos := first; pos <= last; pos++ {
		dst = append(dst, Key{pos, KeyRW | KeyAccess | KeyDelete})
	}
	return dst, true
}

// xreadKeys: XREAD [COUNT n] [BLOCK ms] STREAMS key ... id ... and XREADGROUP GROUP group
// consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key ... id ... (xreadCommand in t_stream.c). The
// specification looks for the word STREAMS, which may also be the name of a consumer.
func xreadKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	for i := 1; i < len(args); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case (isWord(word, "block") || isWord(word, "count")) && left >= 1:
			i++
		case isWord(word, "group") && left >= 2:
			i += 2
		case isWord(word, "noack"):
		case isWord(word, "streams") && left >= 2 && left%2 == 0:
			for pos := i + 1; pos <= i+left/2; pos++ {
				dst = append(dst, Key{pos, KeyRO | KeyAccess})
			}
			return dst, true
		default:
			return c.misfit(args, dst)
		}
	}
	return c.misfit(args, dst)
}

// setKeys: SET key value [options], where GET makes it a read as well (setGetKeys in db.c).
func setKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	if len(args) < 3 {
		return c.misfit(args, dst)
	}
	flags := KeyOW | KeyUpdate
	for _, word := range args[3:] {
		if isWord(word, "get") {
			flags = KeyRW | KeyAccess | KeyUpdate
		}
	}
	return append(dst, Key{1, flags}), true
}

// bitfieldKeys: BITFIELD key [GET type offset | [OVERFLOW how] SET|INCRBY type offset value ...],
// which only reads if all of it is GET (bitfieldGetKeys in db.c).
func bitfieldKeys(c *Command, args [][]byte, dst []Key) ([]Key, bool) {
	if len(args) < 2 {
		return c.misfit(args, dst)
	}
	flags := KeyRO | KeyAccess
	for i := 2; i < len(args) && flags.Has(KeyRO); i++ {
		left := len(args) - i - 1
		switch word := args[i]; {
		case isWord(word, "get") && left >= 2:
			i += 2
		case isWord(word, "overflow") && left >= 1:
			i++
		default:
			flags = KeyRW | KeyAccess | KeyUpdate
		}
	}
	return append(dst, Key{1, flags}), true
}

// misfit handles arguments that a special function cannot read.
func (c *Command) misfit(args [][]byte, dst []Key) ([]Key, bool) {
	keys, _ := c.specKeys(args, dst)
	return keys, false
}
