package tap

import (
	"crypto/sha256"
	"math"
	"strconv"
	"time"

	"holdfast/journal/stream"
)

// tail is the state that the last commands of a history leave behind, as far as they define it
// themselves: the stream holds effects, so a SET, a DEL or an XADD defines its result, whatever the
// old value. A server whose keys agree with all of the tail's commands has executed all of them, or
// is as if it had: keys that the tail does not touch are the same either way. The result of an INCR
// depends on the old value; it is only counted.
type tail struct {
	commands int64
	opaque   int64 // commands that do not define their result
	keys     map[keyName]*expected
	emptied  map[int]bool // databases that were flushed; -1: all of them
	moved    bool         // keys may have moved to other databases since the first flush
	dropped  bool         // the tail touches more keys than it keeps
}

// keyName is a key and its database.
type keyName struct {
	db  int
	key string
}

// expected is a key's state behind the tail.
type expected struct {
	start  int64 // offset of the last command that touched it
	opaque bool  // unknown
	whole  bool  // the whole state of the key follows from the tail: it was set or deleted in it
	gone   bool  // with whole: it does not exist, unless parts says otherwise
	text   *sum  // with whole: a string; nil: none
	expiry int64 // milliseconds since 1970; 0: none, noExpiry: unknown
	parts  map[part]*sum
}

// part is a field, a member or an entry of a key. kind is the command that reads it.
type part struct{ kind, name string }

// sum is the digest of a value.
type sum [16]byte

const (
	noExpiry = math.MinInt64
	// maxCompared is the longest argument that is compared, in bytes.
	maxCompared = 1 << 20
	// maxKeys bounds a tail's keys; a tail that touches more stays in question.
	maxKeys = 200_000
)

func sumOf(p []byte) *sum {
	all := sha256.Sum256(p)
	s := sum(all[:len(sum{})])
	return &s
}

// sumOfWords distinguishes lists of words.
func sumOfWords(words [][]byte) *sum {
	var all []byte
	for _, w := range words {
		all = append(strconv.AppendInt(all, int64(len(w)), 10), ':')
		all = append(all, w...)
	}
	return sumOf(all)
}

func newTail() *tail { return &tail{keys: map[keyName]*expected{}, emptied: map[int]bool{}} }

// full reports that the tail touches more keys than it keeps.
func (t *tail) full() bool { return len(t.keys) >= maxKeys }

// at returns the expectation of a key, for a command that changes it.
func (t *tail) at(c *stream.Command, key []byte) *expected {
	p := keyName{c.DB, string(key)}
	e := t.keys[p]
	if e == nil {
		if t.full() {
			t.dropped = true
			return &expected{}
		}
		e = &expected{expiry: noExpiry}
		if t.emptied[-1] || t.emptied[c.DB] {
			e.whole, e.gone, e.expiry = true, true, 0
		}
		t.keys[p] = e
	}
	e.start = c.Start
	return e
}

// part notes the value of a part of a key; nil: the part is missing.
func (e *expected) part(kind string, name []byte, value *sum) {
	if e.text != nil {
		e.opaque = true // of another type: unknown
		return
	}
	if e.parts == nil {
		e.parts = map[part]*sum{}
	}
	e.parts[part{kind, string(name)}] = value
}

// take applies a command.
func (t *tail) take(c *stream.Command) {
	t.commands++
	flush := c.Is("FLUSHALL") || c.Is("FLUSHDB") // makes room
	if c.DB < 0 || c.Cut || t.full() && !flush || !t.understand(c) {
		t.opaque++
		t.blur(c)
	}
}

// blur drops the expectations of the keys that a command may have changed: any argument may name
// one, and of a few commands also a key in another database.
func (t *tail) blur(c *stream.Command) {
	if c.DB < 0 || c.Cut || c.Is("SWAPDB") || c.Is("MOVE") || c.Is("COPY") {
		for _, e := range t.keys {
			e.opaque, e.expiry = true, noExpiry
		}
		clear(t.emptied)
		t.moved = true
		return
	}
	for _, a := range c.Args[1:] {
		e := t.at(c, a)
		e.opaque, e.expiry = true, noExpiry
	}
}

// understand notes the result of a command; false: the command does not define it.
func (t *tail) understand(c *stream.Command) bool {
	a := c.Args
	switch {
	case c.Is("SET"), c.Is("GETSET"):
		return t.set(c)
	case c.Is("SETEX"), c.Is("PSETEX"):
		return false // a primary sends SET PXAT
	case c.Is("MSET"), c.Is("MSETNX"):
		for i := 1; i+1 < len(a); i += 2 {
			t.string(c, a[i], a[i+1], 0)
		}
		return len(a)%2 == 1
	case c.Is("SETNX") && len(a) == 3:
		t.string(c, a[1], a[2], 0)
		return true
	case c.Is("DEL"), c.Is("UNLINK"), c.Is("GETDEL"):
		for _, key := range a[1:] {
			t.remove(c, key)
		}
		return true
	case c.Is("PEXPIREAT") && len(a) == 3:
		return t.expire(c, a[2])
	case c.Is("PERSIST") && len(a) == 2:
		return t.expire(c, []byte("0"))
	case c.SwapsNothing():
		return true
	case c.Is("FLUSHALL"):
		t.empty(-1)
		return true
	case c.Is("FLUSHDB"):
		t.empty(c.DB)
		return true
	}
	return t.collection(c)
}

// collection is understand for commands that change a part of a key.
func (t *tail) collection(c *stream.Command) bool {
	a := c.Args
	if len(a) < 3 {
		return false
	}
	pairs := func(kind string, nameFirst bool) bool {
		e := t.at(c, a[1])
		for i := 2; i+1 < len(a); i += 2 {
			name, value := a[i], a[i+1]
			if !nameFirst {
				name, value = value, name
			}
			e.part(kind, name, sumOf(value))
		}
		return len(a)%2 == 0 && !e.opaque
	}
	each := func(kind string, value *sum) bool {
		e := t.at(c, a[1])
		for _, name := range a[2:] {
			e.part(kind, name, value)
		}
		return !e.opaque
	}
	switch {
	case c.Is("HSET"), c.Is("HMSET"):
		return pairs("HGET", true)
	case c.Is("HSETNX") && len(a) == 4:
		return pairs("HGET", true)
	case c.Is("HDEL"):
		return each("HGET", nil)
	case c.Is("SADD"):
		return each("SISMEMBER", sumOf([]byte("1")))
	case c.Is("SREM"):
		return each("SISMEMBER", nil)
	case c.Is("ZADD") && areScores(a[2:]):
		return pairs("ZSCORE", false)
	case c.Is("ZREM"):
		return each("ZSCORE", nil)
	case c.Is("XADD") && isStreamID(a[2]):
		t.at(c, a[1]).part("XRANGE", a[2], sumOfWords(a[2:]))
		return !t.at(c, a[1]).opaque
	}
	return false
}

// areScores reports whether a ZADD has no options, and only scores in the format of a server's own
// replies.
func areScores(pairs [][]byte) bool {
	for i := 0; i < len(pairs); i += 2 {
		if !isScore(pairs[i]) {
			return false
		}
	}
	return true
}

func isScore(p []byte) bool {
	f, err := strconv.ParseInt(string(p), 10, 53)
	return err == nil && strconv.FormatInt(f, 10) == string(p)
}

func isStreamID(p []byte) bool { return len(p) > 2 && p[0] >= '0' && p[0] <= '9' }

// set is a SET as a primary sends it: with PXAT, KEEPTTL or no option for its deadline.
func (t *tail) set(c *stream.Command) bool {
	a := c.Args
	if len(a) < 3 {
		return false
	}
	expiry := int64(0)
	if c.Is("SET") {
		for i := 3; i < len(a); i++ {
			switch option := upper(a[i]); option {
			case "NX", "XX", "GET": // it was executed
			case "PXAT":
				if i++; i == len(a) {
					return false
				}
				expiry, _ = strconv.ParseInt(string(a[i]), 10, 64)
			case "KEEPTTL":
				expiry = t.at(c, a[1]).expiry
			default:
				return false
			}
		}
	}
	t.string(c, a[1], a[2], expiry)
	return true
}

func upper(p []byte) string {
	out := make([]byte, len(p))
	for i, b := range p {
		if b >= 'a' && b <= 'z' {
			b -= 'a' - 'A'
		}
		out[i] = b
	}
	return string(out)
}

func (t *tail) string(c *stream.Command, key, value []byte, expiry int64) {
	e := t.at(c, key)
	*e = expected{start: c.Start, whole: true, text: sumOf(value), expiry: expiry}
}

func (t *tail) remove(c *stream.Command, key []byte) {
	e := t.at(c, key)
	*e = expected{start: c.Start, whole: true, gone: true}
}

func (t *tail) expire(c *stream.Command, at []byte) bool {
	ms, err := strconv.ParseInt(string(at), 10, 64)
	t.at(c, c.Args[1]).expiry = ms
	return err == nil
}

// empty notes that a database was flushed; -1: all of them. Its expectations end.
func (t *tail) empty(db int) {
	t.emptied[db] = true
	t.dropped = t.dropped && db != -1
	for p := range t.keys {
		if db == -1 || p.db == db {
			delete(t.keys, p)
		}
	}
}

// mayBeGone reports whether the key may have expired by now.
func (e *expected) mayBeGone(now time.Time) bool {
	return e.expiry == noExpiry || e.expiry > 0 && e.expiry <= now.UnixMilli()
}
