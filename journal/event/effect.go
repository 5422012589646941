package event

import "holdfast/journal/stream"

// An effect is a command's possible effect on the number of keys, and whether it needs a closer
// look. The stream holds effects that took place, which makes some bounds narrow: a DEL of one key
// is there only if that key was.
type effect struct {
	low, high int8
	special   special
}

type special uint8

const (
	plain    special = iota
	perArg           // the bounds are for each argument
	perPair          // for each two
	hset             // of the trash's ledger, if it stands in a transaction
	hdel             // likewise
	set              // likewise, or the tap's mark
	flushAll         //
	flushDB          //
	swapDB           //
	deletes          // DEL, UNLINK
	moves            // MOVE
	copies           // COPY
)

// unknownEffect is for commands outside of the table, such as those of modules.
var unknownEffect = effect{-1, 1, perArg}

// effects are by name in lower case. A command that may make its key or delete it is -1 to 1.
var effects = func() map[string]effect {
	m := map[string]effect{
		"flushall": {0, 0, flushAll}, "flushdb": {0, 0, flushDB}, "swapdb": {0, 0, swapDB},
		"del": {0, 0, deletes}, "unlink": {0, 0, deletes}, "move": {-1, -1, moves},
		"copy": {0, 0, copies}, "hset": {0, 1, hset}, "hdel": {-1, 0, hdel}, "set": {0, 1, set},
		"mset": {0, 1, perPair}, "msetnx": {1, 1, perPair}, "msetex": {0, 1, perArg},
		"setnx":  {1, 1, plain},
		"rename": {-1, 0, plain}, "renamenx": {0, 0, plain},
	}
	for low, names := range map[effect][]string{
		{0, 1, plain}: {"append", "setrange", "setbit", "setex", "psetex", "getset", "incr", "decr",
			"incrby", "decrby", "incrbyfloat", "hmset", "hsetnx", "hincrby", "hincrbyfloat", "lpush",
			"rpush", "sadd", "zadd", "zincrby", "xadd", "pfadd", "geoadd", "bitfield", "restore",
			"restore-asking", "xgroup", "xsetid", "xautoclaim", "xclaim"},
		{-1, 0, plain}: {"getdel", "lpop", "rpop", "lrem", "ltrim", "srem", "spop", "zrem", "zpopmin",
			"zpopmax", "zremrangebyrank", "zremrangebyscore", "zremrangebylex", "hgetdel", "hexpire",
			"hpexpire", "hexpireat", "hpexpireat", "hgetex", "expire", "pexpire", "expireat",
			"pexpireat", "delifeq", "delex", "getex"},
		{-1, 1, plain}: {"hsetex", "rpoplpush", "lmove", "smove", "sinterstore", "sunionstore",
			"sdiffstore", "zinterstore", "zunionstore", "zdiffstore", "zrangestore", "sort",
			"georadius", "georadiusbymember", "geosearchstore", "bitop", "pfmerge"},
		{0, 0, plain}: {"ping", "replconf", "select", "multi", "exec", "discard", "publish",
			"spublish", "persist", "lset", "linsert", "lpushx", "rpushx", "xtrim", "xdel", "xack", "function",
			"script", "hpersist", "ssubscribe"},
	} {
		for _, name := range names {
			m[name] = low
		}
	}
	return m
}()

// named is an entry of the table, with its name.
type named struct {
	name   string
	effect effect
}

// longestName is the longest one in the table.
const longestName = 20

// byShape is the table, indexed by a number made of a name's length and ends: a lookup takes a
// third of the time of one in a map, and each command needs one.
var byShape = func() (t [512][]named) {
	for name, e := range effects {
		i := shape(name[0], name[len(name)-1], len(name))
		t[i] = append(t[i], named{name, e})
	}
	return t
}()

func shape(first, last byte, n int) int { return (int(first)*7 + int(last)*31 + n*3) & 511 }

// effectOf looks a command up.
func effectOf(c *stream.Command) effect {
	name := c.Args[0]
	n := len(name)
	if n == 0 || n > longestName {
		return unknownEffect
	}
next:
	for _, e := range byShape[shape(lower(name[0]), lower(name[n-1]), n)] {
		if len(e.name) != n {
			continue
		}
		for i := range n {
			if lower(name[i]) != e.name[i] {
				continue next
			}
		}
		return e.effect
	}
	return unknownEffect
}

func lower(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// bounds is the number of keys that a command adds to its database.
func (e effect) bounds(c *stream.Command) (low, high int64) {
	n := int64(len(c.Args) - 1)
	switch e.special {
	case perArg:
	case perPair:
		n /= 2
	case deletes:
		if n == 1 {
			return -1, -1
		}
		return -n, -min(n, 1)
	default:
		n = 1
	}
	return int64(e.low) * n, int64(e.high) * n
}
