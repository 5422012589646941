package policy

import (
	"math/bits"
	"strings"
)

// Flags is the set of a command's flags, as COMMAND reports them.
type Flags uint64

// The command flags. The names in COMMAND are the lower-case ones of flagNames. The last three are
// never reported ("hidden on purpose" in the server's addReplyFlagsForCommand): a table built from
// a reply takes them from the built-in table, by command name.
const (
	FlagWrite Flags = 1 << iota
	FlagReadonly
	FlagDenyOOM
	FlagModule
	FlagAdmin
	FlagPubSub
	FlagNoScript
	FlagBlocking
	FlagLoading
	FlagStale
	FlagSkipMonitor
	FlagSkipSlowlog
	FlagAsking
	FlagFast
	FlagNoAuth
	FlagNoMandatoryKeys
	FlagNoAsyncLoading
	FlagNoMulti
	FlagMovableKeys
	FlagAllowBusy
	FlagMayReplicate         // not a write, yet may propagate: EVAL, PUBLISH, PFCOUNT
	FlagProtected            // DEBUG, MODULE: refused unless the server's configuration allows it
	FlagTouchesArbitraryKeys // touches keys that are not among its arguments: RANDOMKEY, SCAN

	hiddenFlags = FlagMayReplicate | FlagProtected | FlagTouchesArbitraryKeys
)

// flagNames holds the name of each flag, in the order of the bits.
var flagNames = [...]string{
	"write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking",
	"loading", "stale", "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth",
	"no_mandatory_keys", "no_async_loading", "no_multi", "movablekeys", "allow_busy",
	"may_replicate", "protected", "touches_arbitrary_keys",
}

var flagByName = func() map[string]Flags {
	m := bitsByName[Flags](flagNames[:])
	m["skip_commandlog"] = FlagSkipSlowlog // its name since Valkey 8.1
	return m
}()

// Has reports whether all flags of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// String lists the flags by the names that COMMAND gives them, separated by commas.
func (f Flags) String() string { return joinBits(uint64(f), flagNames[:]) }

// KeyFlags is a command's use of one of its keys. The meanings are the server's (CMD_KEY_* in
// server.h): exactly one of RO, RW, OW and RM describes the effect on the value's metadata; the
// others show whether user data is read, changed, added or removed.
type KeyFlags uint16

// The key flags, in the order in which COMMAND reports them.
const (
	KeyRO            KeyFlags = 1 << iota // read only
	KeyRW                                 // read and written
	KeyOW                                 // overwritten
	KeyRM                                 // deleted
	KeyAccess                             // the value is returned or copied
	KeyUpdate                             // the value is changed
	KeyInsert                             // something is added to the value
	KeyDelete                             // something is removed from the value
	KeyNotKey                             // not a key, though routed like one (channels)
	KeyIncomplete                         // the specification may miss keys
	KeyVariableFlags                      // the flags depend on the arguments
)

var keyFlagNames = [...]string{
	"RO", "RW", "OW", "RM", "access", "update", "insert", "delete",
	"not_key", "incomplete", "variable_flags",
}

var keyFlagByName = bitsByName[KeyFlags](keyFlagNames[:])

// Has reports whether all flags of want are set.
func (f KeyFlags) Has(want KeyFlags) bool { return f&want == want }

// Writes reports whether the key may be different after the command.
func (f KeyFlags) Writes() bool { return f&(KeyRW|KeyOW|KeyRM) != 0 }

// String lists the flags by the names that COMMAND GETKEYSANDFLAGS gives them.
func (f KeyFlags) String() string { return joinBits(uint64(f), keyFlagNames[:]) }

// bitsByName maps each name, in lower case, to the bit of its position.
func bitsByName[T ~uint64 | ~uint16](names []string) map[string]T {
	m := make(map[string]T, len(names))
	for i, name := range names {
		m[strings.ToLower(name)] = T(1) << i
	}
	return m
}

func joinBits(set uint64, names []string) string {
	var out []string
	for set != 0 {
		i := bits.TrailingZeros64(set)
		set &^= 1 << i
		if i < len(names) {
			out = append(out, names[i])
		}
	}
	return strings.Join(out, ",")
}
