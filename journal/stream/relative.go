package stream

// Relative reports whether a command adds to a value or takes from it, so that two histories that
// both execute it can end with equal values although neither has both of its effects. Other
// commands state their result. An INCRBYFLOAT comes as a SET in the stream, and is not relative for
// that reason.
func (c *Command) Relative() bool {
	if len(c.Args) == 0 || len(c.Args[0]) > 12 {
		return false
	}
	var low [12]byte
	for i, b := range c.Args[0] {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		low[i] = b
	}
	return relative[string(low[:len(c.Args[0])])]
}

var relative = map[string]bool{
	"incr": true, "decr": true, "incrby": true, "decrby": true, "append": true, "hincrby": true,
	"zincrby": true, "lpush": true, "rpush": true, "lpushx": true, "rpushx": true, "lpop": true,
	"rpop": true, "lmove": true, "rpoplpush": true, "linsert": true, "bitfield": true,
	"incrbyfloat": true, "hincrbyfloat": true,
}

// AddsByName is Relative for a command as a client sends it, by its name in lower case as INFO
// commandstats has it. For an unknown command it is true.
func AddsByName(name string) bool { return relative[name] || !settles[name] }

// settles are the client commands whose result does not depend on the old value, or that remove.
var settles = map[string]bool{
	"set": true, "setex": true, "psetex": true, "setnx": true, "mset": true, "msetnx": true, "getset": true,
	"getdel": true, "getex": true, "del": true, "unlink": true, "expire": true, "pexpire": true,
	"expireat": true, "pexpireat": true, "persist": true, "hset": true, "hmset": true, "hsetnx": true,
	"hdel": true, "sadd": true, "srem": true, "zrem": true, "flushall": true, "flushdb": true, "restore": true,
}
