package policy

import "strings"

// Effects is the set of ways by which a command can destroy data, or help to. It is what a
// command can do at the worst; Command.DeletesByTime and Command.Replaces look at one request.
type Effects uint16

// The effects.
const (
	EffectDelete    Effects = 1 << iota // whole keys are deleted: DEL, GETDEL, MIGRATE
	EffectOverwrite                     // a value takes the place of another: SET, RENAME, ...STORE
	EffectShrink                        // parts of a value go, the key with the last: LPOP, ZREM
	EffectExpire                        // a key gets a deadline, which may be in the past: EXPIRE
	EffectMove                          // a key goes to another place: MOVE, MIGRATE
	EffectFlush                         // all keys of a database or of all: FLUSHALL, DEBUG
	EffectSwap                          // databases change places: SWAPDB
	EffectReplace                       // another data set takes the place: REPLICAOF
	EffectScript                        // code that the request names or carries runs: EVAL, FCALL
	EffectCode                          // code is loaded, replaced or dropped: FUNCTION LOAD
	EffectAdmin                         // the server's state, its rules or its machine: CONFIG SET
	EffectStall                         // the server stands still for as long as it takes: KEYS

	// Destructive is the effects that lose data, or that no rule on data can be trusted with.
	Destructive = EffectDelete | EffectOverwrite | EffectExpire | EffectMove | EffectFlush |
		EffectSwap | EffectReplace
)

var effectNames = [...]string{
	"delete", "overwrite", "shrink", "expire", "move", "flush", "swap", "replace", "script",
	"code", "admin", "stall",
}

// Has reports whether all effects of want are in the set.
func (e Effects) Has(want Effects) bool { return e&want == want }

// Any reports whether the set and want have an effect in common.
func (e Effects) Any(want Effects) bool { return e&want != 0 }

// String lists the effects, separated by commas.
func (e Effects) String() string { return joinBits(uint64(e), effectNames[:], ",") }

// effectsByName is what the flags and key specifications of the server do not say.
var effectsByName = map[string]Effects{
	"getdel": EffectDelete, "migrate": EffectDelete | EffectMove, "move": EffectMove,
	"rename": EffectMove | EffectOverwrite, "renamenx": EffectMove,
	"copy": EffectOverwrite, "restore": EffectOverwrite | EffectExpire,
	"restore-asking": EffectOverwrite | EffectExpire,
	"expire":         EffectExpire, "pexpire": EffectExpire, "expireat": EffectExpire,
	"pexpireat": EffectExpire, "getex": EffectExpire,
	"set": EffectOverwrite | EffectExpire, "setex": EffectOverwrite | EffectExpire,
	"psetex": EffectOverwrite | EffectExpire, "getset": EffectOverwrite,
	"sort": EffectOverwrite | EffectStall, "georadius": EffectOverwrite,
	"georadiusbymember": EffectOverwrite,

	"flushall": EffectFlush, "flushdb": EffectFlush, "swapdb": EffectSwap,
	"debug":     EffectFlush | EffectReplace | EffectAdmin | EffectStall,
	"replicaof": EffectReplace, "slaveof": EffectReplace, "failover": EffectReplace,
	"psync": EffectReplace, "sync": EffectReplace,
	"cluster|reset": EffectReplace | EffectFlush, "cluster|replicate": EffectReplace,
	"cluster|failover": EffectReplace, "cluster|flushslots": EffectReplace,
	"cluster|delslots": EffectReplace, "cluster|delslotsrange": EffectReplace,
	"cluster|setslot": EffectReplace,

	"eval": EffectScript, "eval_ro": EffectScript, "evalsha": EffectScript,
	"evalsha_ro": EffectScript, "fcall": EffectScript, "fcall_ro": EffectScript,
	"script|load": EffectCode, "script|flush": EffectCode, "function|load": EffectCode,
	"function|restore": EffectCode, "function|flush": EffectCode, "function|delete": EffectCode,
	"module|load": EffectCode | EffectAdmin, "module|loadex": EffectCode | EffectAdmin,
	"module|unload": EffectCode | EffectAdmin,

	"keys": EffectStall, "save": EffectStall | EffectAdmin, "shutdown": EffectAdmin | EffectStall,
}

// runsCode holds the commands that run or load the code of which a Script tells, and whether a
// request carries it itself: then as its first argument, or after the word REPLACE.
var runsCode = map[string]bool{
	"eval": true, "eval_ro": true, "script|load": true, "function|load": true,
	"evalsha": false, "evalsha_ro": false, "fcall": false, "fcall_ro": false,
	"function|restore": false,
}

// unnamedKeys holds the commands that reach keys which are not among their arguments, beyond
// those that carry FlagTouchesArbitraryKeys.
var unnamedKeys = map[string]bool{
	"flushall": true, "flushdb": true, "swapdb": true, "keys": true,
	"debug": true, "replicaof": true, "slaveof": true, "failover": true, "sync": true,
	"psync": true, "cluster|reset": true, "cluster|replicate": true, "cluster|failover": true,
	"cluster|flushslots": true, "cluster|delslots": true, "cluster|delslotsrange": true,
	"cluster|setslot": true, "cluster|getkeysinslot": true,
}

// classify fills in what follows from the name, the flags and the key specifications.
func (c *Command) classify() {
	if !c.Flags.Has(FlagModule) {
		c.Effects = effectsByName[c.Name]
		_, c.runsCode = runsCode[c.Name]
	}
	for _, spec := range c.KeySpecs {
		if spec.Flags.Has(KeyRM) {
			c.Effects |= EffectDelete
		}
		if spec.Flags.Has(KeyOW) {
			c.Effects |= EffectOverwrite
		}
		if spec.Flags.Has(KeyDelete) && !c.Effects.Any(EffectDelete) {
			c.Effects |= EffectShrink
		}
	}
	if c.Flags.Has(FlagAdmin) {
		c.Effects |= EffectAdmin
	}
	if c.Flags.Has(FlagModule | FlagWrite) {
		c.Effects |= EffectDelete | EffectOverwrite // who knows
	}
	if c.Effects.Has(EffectExpire) {
		c.past = pastWhen[c.Name]
	}
	c.unnamed = c.ID == 0 || c.Effects.Any(EffectScript) ||
		c.Flags.Has(FlagTouchesArbitraryKeys) || unnamedKeys[c.Name] ||
		c.Parent != nil && c.Parent.unnamed
}

// truth is the answer to a question that may have none.
type truth uint8

const (
	no truth = iota
	maybe
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// pastWhen says of the commands that take a deadline whether the request's is in the past, which
// deletes the key at once (checkAlreadyExpired in expire.c). now is the Unix time in ms, or 0.
var pastWhen = map[string]func(args [][]byte, now int64) truth{
	"expire":    func(a [][]byte, _ int64) truth { return relativePast(a) },
	"pexpire":   func(a [][]byte, _ int64) truth { return relativePast(a) },
	"expireat":  func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1000, now) },
	"pexpireat": func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1, now) },
	"getex":     getexPast,
	"set":       func(a [][]byte, now int64) truth { return optionPast(a, 3, now) },

	"restore": restorePast, "restore-asking": restorePast,
}

// timeless is how many arguments, the name included, a request has at most that has no deadline.
var timeless = map[string]int{"set": 3, "getex": 2, "restore": 4, "restore-asking": 4}

func relativePast(args [][]byte) truth {
	if len(args) < 3 {
		return no // the server refuses it
	}
	n, ok := parseInt(args[2])
	return truthOf(ok && n <= 0)
}

func absolutePast(args [][]byte, at int, unit, now int64) truth {
	if len(args) <= at {
		return no
	}
	n, ok := parseInt(args[at])
	switch {
	case !ok:
		return no
	case n <= 0:
		return yes
	case now == 0:
		return maybe
	}
	return truthOf(n <= now/unit)
}

// getexPast: GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]; of a relative time, only a
// positive one is let through.
func getexPast(args [][]byte, now int64) truth { return optionPast(args, 2, now) }

// optionPast looks at the options of GETEX and SET, from a place on.
func optionPast(args [][]byte, from int, now int64) truth {
	past := no
	for i := from; i < len(args); i++ {
		switch word := args[i]; {
		case isWord(word, "exat"):
			past = max(past, absolutePast(args, i+1, 1000, now))
		case isWord(word, "pxat"):
			past = max(past, absolutePast(args, i+1, 1, now))
		}
	}
	return past
}

// restorePast: RESTORE key ms value [REPLACE] [ABSTTL] ...; 0 is no deadline.
func restorePast(args [][]byte, now int64) truth {
	for i := 4; i < len(args); i++ {
		if isWord(args[i], "absttl") && string(args[2]) != "0" {
			return absolutePast(args, 2, 1, now)
		}
	}
	return no
}

// DeletesByTime reports whether the request gives its key a deadline in the past, which deletes
// it: EXPIRE k -1, SET k v PXAT 1. now is the Unix time in ms.
func (c *Command) DeletesByTime(args [][]byte, now int64) bool {
	return c.past != nil && c.past(args, now) == yes
}

// Replaces reports whether the request may overwrite a whole key where one stands already, for the
// commands that say so in an option: RESTORE and COPY with REPLACE, RENAME always.
func (c *Command) Replaces(args [][]byte) bool {
	from := 0
	switch c.Name {
	case "rename":
		return true
	case "restore", "restore-asking":
		from = 4
	case "copy":
		from = 3
	default:
		return false
	}
	for i := from; i < len(args); i++ {
		if isWord(args[i], "replace") {
			return true
		}
	}
	return false
}

// parseInt reads a number as the server's string2ll does: an optional minus, no leading zero, no
// space, 64 bits.
func parseInt(b []byte) (n int64, ok bool) {
	digits, negative := b, false
	if len(b) > 0 && b[0] == '-' {
		digits, negative = b[1:], true
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// Code returns the source that the request carries (EVAL, SCRIPT LOAD, FUNCTION LOAD), or nil.
func (c *Command) Code(args [][]byte) []byte {
	if !runsCode[c.Name] || c.Flags.Has(FlagModule) {
		return nil
	}
	at := 1
	if strings.Contains(c.Name, "|") {
		at = 2
	}
	if c.Name == "function|load" {
		for at+1 < len(args) && isWord(args[at], "replace") {
			at++
		}
	}
	if at >= len(args) {
		return nil
	}
	return args[at]
}

// MayDelete reports whether the request deletes keys that it names, so that a delete budget is to
// be asked: DEL and its like, MIGRATE without COPY, and times in the past. Flushes count as well;
// how many keys they take is the server's to tell, by DBSIZE before. now is the Unix time in ms.
func (c *Command) MayDelete(args [][]byte, now int64) bool {
	switch {
	case c.Effects.Any(EffectFlush):
		return true
	case c.Name == "migrate":
		for i := 6; i < len(args); i++ {
			if isWord(args[i], "copy") {
				return false
			}
		}
		return true
	case c.Effects.Any(EffectDelete):
		return true
	}
	return c.past != nil && c.past(args, now) != no
}

// CodeDeletes is MayDelete for a request that runs code, as far as that can be read: does it call
// anything that deletes keys?
func (p *Policy) CodeDeletes(req *Request) bool {
	if req.Script == nil || req.Cmd == nil || !req.Cmd.Effects.Any(EffectScript) {
		return false
	}
	for i := range req.Script.Calls {
		c := bind(req, &req.Script.Calls[i])
		if cmd := p.table.Lookup(c.req.Args); cmd.ID != 0 && cmd.MayDelete(c.req.Args, req.Now) {
			return true
		}
	}
	return false
}

// Deleted is how many keys a request has deleted, by its reply: n is the integer of an integer
// reply, and null tells that the reply is nil; an error's count is 0. It is for requests that
// MayDelete lets through; a flush counts by other means.
func (c *Command) Deleted(args [][]byte, n int64, null bool) int64 {
	switch c.Name {
	case "del", "unlink", "expire", "pexpire", "expireat", "pexpireat":
		return max(n, 0)
	case "getdel", "getex", "set", "restore", "restore-asking":
		if null {
			return 0
		}
		return 1
	case "migrate": // OK or NOKEY, whatever of its keys there were
		var room [8]Key
		keys, _ := c.Keys(args, room[:0])
		return int64(len(keys))
	}
	return max(n, 0)
}
