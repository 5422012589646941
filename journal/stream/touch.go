package stream

import "strconv"

// Touches names the data that a command of the stream may have changed: it calls key for each key,
// and whole for each database of which it may be any key; -1 means all databases. The names are
// valid for as long as Args are.
//
// It names too much rather than too little. A command that the table lacks, such as a module's, or
// one with a key that was cut (Options.MaxArg), may have changed any key of its database. Libraries
// of functions are no keys; messages and the servers' own traffic change nothing.
func (c *Command) Touches(key func(db int, name []byte), whole func(db int)) {
	if len(c.Args) == 0 {
		return
	}
	at, known := placesOf(c.Args[0])
	switch {
	case known && at == noKeys:
		return
	case known && at == allDatabases, c.DB < 0:
		whole(-1)
		return
	case !known || at == wholeDatabase || len(c.Args) >= KeepArgs && c.Cut:
		whole(c.DB)
		return
	}
	t := toucher{c: c, key: key, whole: whole}
	if c.Cut {
		for _, a := range c.Args {
			t.cut = max(t.cut, len(a))
		}
	}
	t.touch(at)
}

// places are the positions of the keys that a command changes.
type places uint8

const (
	noKeys places = iota
	firstArg
	secondArg
	firstTwo
	everyArg
	everyOther    // 1, 3, 5 …
	countedPairs  // behind their number
	allButLast    // behind them a timeout
	behindStore   // behind the words STORE and STOREDIST
	moved         // MOVE
	copied        // COPY
	swapped       // SWAPDB
	wholeDatabase // FLUSHDB
	allDatabases  // FLUSHALL
)

// touchTable is by name in lower case. touch_test.go compares it with the servers' own tables.
var touchTable = func() map[string]places {
	m := map[string]places{
		"rename": firstTwo, "renamenx": firstTwo, "rpoplpush": firstTwo, "lmove": firstTwo,
		"smove": firstTwo, "brpoplpush": firstTwo, "blmove": firstTwo,
		"bitop": secondArg, "xgroup": secondArg,
		"mset": everyOther, "msetnx": everyOther, "msetex": countedPairs,
		"del": everyArg, "unlink": everyArg, "pfcount": everyArg,
		"sort": behindStore, "georadius": behindStore, "georadiusbymember": behindStore,
		"move": moved, "copy": copied, "swapdb": swapped, "flushdb": wholeDatabase,
		"flushall": allDatabases,
	}
	for at, names := range map[places][]string{
		noKeys: {"ping", "replconf", "select", "multi", "exec", "discard", "publish", "spublish",
			"function", "script"},
		allButLast: {"blpop", "brpop", "bzpopmin", "bzpopmax"},
		firstArg: {"append", "bitfield", "decr", "decrby", "delex", "delifeq", "digest", "expire",
			"expireat", "geoadd", "geosearchstore", "getdel", "getex", "getset", "hdel", "hexpire",
			"hexpireat", "hgetdel", "hgetex", "hincrby", "hincrbyfloat", "hmset", "hpersist",
			"hpexpire", "hpexpireat", "hset", "hsetex", "hsetnx", "incr", "incrby", "incrbyfloat",
			"linsert", "lpop", "lpush", "lpushx", "lrem", "lset", "ltrim", "persist", "pexpire",
			"pexpireat", "pfadd", "pfmerge", "psetex", "restore", "restore-asking", "rpop", "rpush",
			"rpushx", "sadd", "sdiffstore", "set", "setbit", "setex", "setnx", "setrange",
			"sinterstore", "spop", "srem", "sunionstore", "vadd", "vrem", "vsetattr", "xack",
			"xackdel", "xadd", "xautoclaim", "xclaim", "xdel", "xdelex", "xsetid", "xtrim", "zadd",
			"zdiffstore", "zincrby", "zinterstore", "zpopmax", "zpopmin", "zrangestore", "zrem",
			"zremrangebylex", "zremrangebyrank", "zremrangebyscore", "zunionstore"},
	} {
		for _, name := range names {
			m[name] = at
		}
	}
	return m
}()

// placesOf looks a name up, whatever its case.
func placesOf(name []byte) (at places, known bool) {
	var low [24]byte // longer than every name of the table
	if len(name) > len(low) {
		return 0, false
	}
	for i, b := range name {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		low[i] = b
	}
	at, known = touchTable[string(low[:len(name)])]
	return at, known
}

// toucher names the keys of one command.
type toucher struct {
	c     *Command
	cut   int // an argument of that length may be the beginning of a longer one; 0: no argument is cut
	key   func(db int, name []byte)
	whole func(db int)
}

func (t *toucher) touch(at places) {
	n := len(t.c.Args)
	switch at {
	case firstArg:
		t.args(1, min(2, n), 1)
	case secondArg:
		t.args(2, min(3, n), 1)
	case firstTwo:
		t.args(1, min(3, n), 1)
	case everyArg:
		t.args(1, n, 1)
	case everyOther:
		t.args(1, n, 2)
	case allButLast:
		t.args(1, n-1, 1)
	case countedPairs:
		t.pairs()
	case behindStore:
		for i := 2; i+1 < n; i++ {
			if t.is(i, "store") || t.is(i, "storedist") {
				t.args(i+1, i+2, 1)
			}
		}
	case moved:
		t.args(1, min(2, n), 1)
		if n > 2 {
			t.elsewhere(1, t.c.Args[2])
		}
	case copied:
		t.copied()
	case swapped:
		if n == 3 && !t.c.SwapsNothing() {
			t.database(t.c.Args[1])
			t.database(t.c.Args[2])
		}
	}
}

// args names arguments from one to before another.
func (t *toucher) args(from, to, step int) {
	for i := from; i < to; i += step {
		t.name(t.c.DB, i)
	}
}

func (t *toucher) name(db, i int) {
	if name := t.c.Args[i]; t.cut == 0 || len(name) < t.cut {
		t.key(db, name)
		return
	}
	t.whole(db)
}

// pairs handles a command that gives their number.
func (t *toucher) pairs() {
	if len(t.c.Args) < 3 {
		return
	}
	count, err := strconv.Atoi(string(t.c.Args[1]))
	if err != nil || count < 0 || count > (len(t.c.Args)-2)/2 {
		t.whole(t.c.DB)
		return
	}
	t.args(2, 2+2*count, 2)
}

func (t *toucher) copied() {
	if len(t.c.Args) < 3 {
		return
	}
	db := []byte(nil)
	for i := 3; i+1 < len(t.c.Args); i++ {
		if t.is(i, "db") {
			db = t.c.Args[i+1]
		}
	}
	if db == nil {
		t.args(2, 3, 1)
		return
	}
	t.elsewhere(2, db)
}

// elsewhere names an argument in another database.
func (t *toucher) elsewhere(i int, db []byte) {
	n, err := strconv.Atoi(string(db))
	if err != nil || n < 0 {
		t.whole(-1)
		return
	}
	t.name(n, i)
}

func (t *toucher) database(text []byte) {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		n = -1
	}
	t.whole(n)
}

// is compares an argument with a word in lower case.
func (t *toucher) is(i int, word string) bool {
	a := t.c.Args[i]
	if len(a) != len(word) {
		return false
	}
	for j, b := range a {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != word[j] {
			return false
		}
	}
	return true
}
