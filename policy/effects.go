package policy

import "strings"

// Effects is the set of ways in which a command can destroy data, or help to. It is the command's
// worst case; Command.DeletesByTime and Command.Replaces look at one request.
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

	// Destructive are the effects that lose data, or that defeat any rule on data.
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
func (e Effects) String() string { return joinBits(uint64(e), effectNames[:]) }

// runsCode holds the commands that run or load code, and whether a request carries the code itself:
// then as its first argument, or after the word REPLACE.
var runsCode = map[string]bool{
	"eval": true, "eval_ro": true, "script|load": true, "function|load": true,
	"evalsha": false, "evalsha_ro": false, "fcall": false, "fcall_ro": false,
	"function|restore": false,
}

// unnamedKeys holds the commands that reach keys which are not among their arguments, beyond those
// that carry FlagTouchesArbitraryKeys.
var unnamedKeys = map[string]bool{
	"flushall": true, "flushdb": true, "swapdb": true, "keys": true,
	"debug": true, "replicaof": true, "slaveof": true, "failover": true, "sync": true,
	"psync": true, "cluster|reset": true, "cluster|replicate": true, "cluster|failover": true,
	"cluster|flushslots": true, "cluster|delslots": true, "cluster|delslotsrange": true,
	"cluster|setslot": true, "cluster|getkeysinslot": true,
}

// classify derives fields from the name, the flags and the key specifications.
func (c *Command) classify() {
	if !c.Flags.Has(FlagModule) {
		c.Effects = knownEffects()[c.Name].Effects
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
		c.Effects |= EffectDelete | EffectOverwrite // the worst case
	}
	if !c.Flags.Has(FlagModule) {
		c.past = pastWhen[c.Name]
	}
	c.unnamed = c.ID == 0 || c.Effects.Any(EffectScript) ||
		c.Flags.Has(FlagTouchesArbitraryKeys) || unnamedKeys[c.Name] ||
		c.Parent != nil && c.Parent.unnamed
}

// truth is an answer that may be unknown.
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

// pastWhen holds the commands that take a deadline, with a function that reports whether a
// request's is in the past, which deletes the key at once (checkAlreadyExpired in expire.c). now is
// the Unix time in ms, or 0.
var pastWhen = map[string]func(args [][]byte, now int64) truth{
	"expire":    func(a [][]byte, _ int64) truth { return relativePast(a) },
	"pexpire":   func(a [][]byte, _ int64) truth { return relativePast(a) },
	"expireat":  func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1000, now) },
	"pexpireat": func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1, now) },
	"getex":     getexPast,
	"set":       func(a [][]byte, now int64) truth { return optionPast(a, 3, now) },

	"restore": restorePast, "restore-asking": restorePast,
	"msetex": msetexPast,

	"hexpire":    func(a [][]byte, _ int64) truth { return relativePast(a) },
	"hpexpire":   func(a [][]byte, _ int64) truth { return relativePast(a) },
	"hexpireat":  func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1000, now) },
	"hpexpireat": func(a [][]byte, now int64) truth { return absolutePast(a, 2, 1, now) },
	"hgetex":     func(a [][]byte, now int64) truth { return fieldsPast(a, 1, now) },
	"hsetex":     func(a [][]byte, now int64) truth { return fieldsPast(a, 2, now) },
}

// pastIs names the command that a time in the past amounts to.
func (c *Command) pastIs() string {
	if c.Effects.Any(EffectExpire) {
		return "del"
	}
	return "hdel" // of fields
}

// timeless is the largest number of arguments, the name included, of a request without a deadline.
var timeless = map[string]int{
	"set": 3, "getex": 2, "restore": 4, "restore-asking": 4, "msetex": 4, "hgetex": 5, "hsetex": 6,
}

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

// getexPast: GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]; the server accepts a relative
// time only if it is positive.
func getexPast(args [][]byte, now int64) truth { return optionPast(args, 2, now) }

// optionPast checks the options of GETEX and SET, from a place on.
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

// msetexPast: MSETEX n key value … [NX | XX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL].
func msetexPast(args [][]byte, now int64) truth {
	if len(args) < 4 {
		return no
	}
	n, ok := parseInt(args[1])
	if !ok || n < 1 || n > int64(len(args)-2)/2 {
		return no // the server refuses it
	}
	return optionPast(args, 2+2*int(n), now)
}

// fieldsPast: HGETEX key [EX s | … | PERSIST] FIELDS n field …, and HSETEX, where each field has a
// value. Options may follow the fields.
func fieldsPast(args [][]byte, width int, now int64) truth {
	past := no
	for i := 2; i < len(args); i++ {
		switch word := args[i]; {
		case isWord(word, "fields") && i+1 < len(args):
			n, ok := parseInt(args[i+1])
			if !ok || n < 1 || n > int64(len(args)) {
				return past
			}
			i += 1 + width*int(n)
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
	return c.past != nil && c.pastIs() == "del" && c.past(args, now) == yes
}

// Replaces reports whether the request may overwrite an existing key as a whole, for the commands
// with an option for it: RESTORE and COPY with REPLACE, RENAME always.
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

// MayDelete reports whether the request deletes keys that it names, and so counts against a delete
// budget: DEL and its like, MIGRATE without COPY, and times in the past. Flushes count as well; the
// number of their keys comes from a DBSIZE before. now is the Unix time in ms.
func (c *Command) MayDelete(args [][]byte, now int64) bool {
	switch {
	case c.Name == "debug":
		return len(args) > 1 && isWord(args[1], "flushall")
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
	return c.past != nil && c.pastIs() == "del" && c.past(args, now) != no
}

// CodeDeletes describes the deletes by the known calls of code.
type CodeDeletes struct {
	// Keys is the number of names in the calls, a computed one included; or that of the declared keys, if
	// that is greater.
	Keys int64
	// Flushes: a call empties databases; ItsOwn: only the one that the client has selected.
	Flushes, ItsOwn bool
}

// CodeDeletes is MayDelete for a request that runs code: it reports whether the known calls delete
// keys, and which.
func (p *Policy) CodeDeletes(req *Request) (d CodeDeletes, ok bool) {
	if req.Script == nil || req.Cmd == nil || !req.Cmd.Effects.Any(EffectScript) {
		return d, false
	}
	names := map[string]struct{}{}
	d.ItsOwn = !req.Script.Opaque && !req.Script.calls("select") && !req.Script.calls("swapdb")
	for i := range req.Script.Calls {
		c := bind(req, &req.Script.Calls[i])
		cmd := p.table.Lookup(c.req.Args)
		if cmd.ID == 0 || !cmd.MayDelete(c.req.Args, req.Now) {
			continue
		}
		ok = true
		if cmd.Effects.Any(EffectFlush) {
			d.Flushes = true
			d.ItsOwn = d.ItsOwn && cmd.Name == "flushdb"
			continue
		}
		keys, _ := cmd.Keys(c.req.Args, nil)
		for _, k := range keys {
			names[string(c.req.Args[k.Pos])] = struct{}{}
		}
	}
	declared, _ := req.Cmd.Keys(req.Args, nil)
	d.Keys = int64(max(len(names), len(declared)))
	return d, ok
}

// Deleted is the number of keys that a request has deleted, by its reply: n is the integer of an
// integer reply, null reports a nil reply; an error counts 0. It is for requests that MayDelete
// lets through; flushes are counted by other means.
func (c *Command) Deleted(args [][]byte, n int64, null bool) int64 {
	switch c.Name {
	case "del", "unlink", "expire", "pexpire", "expireat", "pexpireat":
		return max(n, 0)
	case "getdel", "getex", "set", "restore", "restore-asking":
		if null {
			return 0
		}
		return 1
	case "msetex":
		if n <= 0 {
			return 0
		}
		fallthrough
	case "migrate": // OK or NOKEY, whatever of its keys there were
		var room [8]Key
		keys, _ := c.Keys(args, room[:0])
		return int64(len(keys))
	}
	return max(n, 0)
}
