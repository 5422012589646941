package replay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
)

// workload writes at random: every type, every database, and what a stream of effects makes of
// expiry, scripts, transactions, blocking and eviction.
type workload struct {
	t    testing.TB
	rnd  *rand.Rand
	srv  *proxytest.Server
	conn *redis.Conn // keeps its database
	side *redis.Conn // feeds what blocks
	fat  bool        // writes large values, so that there is something to evict

	fieldsEnd time.Time // no field's deadline is later, but for the far ones
}

func newWorkload(t testing.TB, srv *proxytest.Server, seed uint64) *workload {
	w := &workload{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), srv: srv,
		conn: srv.Client().Conn(), side: srv.Client().Conn()}
	t.Cleanup(func() { w.conn.Close(); w.side.Close() })
	w.do("FUNCTION", "LOAD", "REPLACE", "#!lua name=lib"+strconv.FormatUint(seed, 10)+`
redis.register_function('put', function(keys, args)
  redis.call('SET', keys[1], args[1], 'PX', 60000)
  return redis.call('RPUSH', keys[2], args[1], args[2])
end)`)
	return w
}

// chatter writes from a connection of its own, in databases of its own choice, until stop is
// called: the stream changes between the two with every command.
func (w *workload) chatter() (stop func()) {
	conn := w.srv.Client().Conn()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	rnd := rand.New(rand.NewPCG(w.rnd.Uint64(), 1))
	go func() {
		defer close(done)
		defer conn.Close()
		for ctx.Err() == nil {
			// What is answered does not matter: errors of the connection show in the other one.
			conn.Do(ctx, "SELECT", rnd.IntN(4))
			conn.Do(ctx, "INCR", "chatter:"+strconv.Itoa(rnd.IntN(5)))
			conn.Do(ctx, "SET", "brief:"+strconv.Itoa(rnd.IntN(50)), "x", "PX", 1+rnd.IntN(20))
		}
	}()
	return func() { cancel(); <-done }
}

// do runs a command; what the server thinks of it does not matter, but it must answer.
func (w *workload) do(args ...any) any {
	return w.doOn(w.conn, args...)
}

func (w *workload) doOn(conn *redis.Conn, args ...any) any {
	w.t.Helper()
	v, err := conn.Do(context.Background(), args...).Result()
	var reply redis.Error
	if err != nil && !errors.As(err, &reply) {
		w.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// key is one of a few, so that commands meet each other's data; mostly of the type asked for.
func (w *workload) key(kind string) string {
	if w.rnd.IntN(20) == 0 {
		kind = "any"
	}
	return kind + ":" + strconv.Itoa(w.rnd.IntN(12))
}

func (w *workload) value() string {
	n := w.rnd.IntN(40)
	if w.rnd.IntN(50) == 0 {
		n = w.rnd.IntN(200_000)
	}
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, w.rnd.Uint64())
	}
	return string(b[:n])
}

func (w *workload) member() string { return "m" + strconv.Itoa(w.rnd.IntN(30)) }

func (w *workload) n(limit int) int { return w.rnd.IntN(limit) }

// step does one thing.
func (w *workload) step() {
	if w.fat && w.n(6) == 0 {
		w.do("SET", "fat:"+strconv.Itoa(w.n(100)), strings.Repeat("x", 10_000+w.n(90_000)))
	}
	switch n := w.n(100); {
	case n < 25:
		w.strings()
	case n < 35:
		w.lists()
	case n < 45:
		w.sets()
	case n < 55:
		w.sortedSets()
	case n < 63:
		w.hashes()
	case n < 75:
		w.streams()
	case n < 85:
		w.keys()
	case n < 90:
		w.scripts()
	case n < 94:
		w.transaction()
	case n < 96:
		w.blocking()
	default:
		w.servers()
	}
}

func (w *workload) oneOf(commands ...[]any) { w.do(commands[w.n(len(commands))]...) }

func (w *workload) strings() {
	k, k2 := w.key("str"), w.key("str")
	w.oneOf(
		[]any{"SET", k, w.value()},
		[]any{"SET", k, w.n(1000), "PX", 1 + w.n(60)},
		[]any{"SET", k, w.n(1000), "EX", 1000, "NX"},
		[]any{"SET", k, w.value(), "KEEPTTL"},
		[]any{"SET", k, w.value(), "GET"},
		[]any{"INCR", k},
		[]any{"INCRBYFLOAT", k, "0.1"},
		[]any{"APPEND", k, w.value()},
		[]any{"SETRANGE", k, w.n(100), "xyz"},
		[]any{"SETBIT", k, w.n(1000), w.n(2)},
		[]any{"BITFIELD", k, "INCRBY", "u8", w.n(64), w.n(100)},
		[]any{"BITOP", "XOR", k, k, k2},
		[]any{"GETEX", k, "PX", 1 + w.n(2000)},
		[]any{"GETDEL", k},
		[]any{"GETSET", k, w.value()},
		[]any{"MSET", k, 1, k2, w.value()},
		[]any{"MSETNX", k, 1, k2, 2},
		[]any{"PFADD", w.key("hll"), w.member(), w.member()},
		[]any{"PFMERGE", w.key("hll"), w.key("hll"), w.key("hll")},
		[]any{"PFCOUNT", w.key("hll")},
	)
}

func (w *workload) lists() {
	k, k2 := w.key("list"), w.key("list")
	w.oneOf(
		[]any{"LPUSH", k, w.value(), w.member()},
		[]any{"RPUSH", k, w.member(), w.member(), w.member()},
		[]any{"RPUSHX", k, w.member()},
		[]any{"LPOP", k, 1 + w.n(2)},
		[]any{"LMOVE", k, k2, "LEFT", "RIGHT"},
		[]any{"RPOPLPUSH", k, k2},
		[]any{"LMPOP", 2, k, k2, "RIGHT", "COUNT", 2},
		[]any{"LINSERT", k, "BEFORE", w.member(), w.value()},
		[]any{"LSET", k, 0, w.value()},
		[]any{"LREM", k, 1, w.member()},
		[]any{"LTRIM", k, 0, 20},
		[]any{"SORT", k, "ALPHA", "LIMIT", 0, 5, "STORE", w.key("list")},
	)
}

func (w *workload) sets() {
	k, k2 := w.key("set"), w.key("set")
	w.oneOf(
		[]any{"SADD", k, w.member(), w.n(100), w.value()},
		[]any{"SADD", k, w.n(100), w.n(100)},
		[]any{"SPOP", k},
		[]any{"SPOP", k, 1 + w.n(3)},
		[]any{"SMOVE", k, k2, w.member()},
		[]any{"SREM", k, w.member()},
		[]any{"SINTERSTORE", w.key("set"), k, k2},
		[]any{"SUNIONSTORE", w.key("set"), k, k2},
		[]any{"SDIFFSTORE", w.key("set"), k, k2},
	)
}

func (w *workload) sortedSets() {
	k, k2 := w.key("zset"), w.key("zset")
	w.oneOf(
		[]any{"ZADD", k, w.rnd.Float64(), w.member(), w.n(100), w.value()},
		[]any{"ZADD", k, "GT", "CH", w.n(100), w.member()},
		[]any{"ZINCRBY", k, "1.5", w.member()},
		[]any{"ZPOPMIN", k, 1 + w.n(2)},
		[]any{"ZMPOP", 2, k, k2, "MAX"},
		[]any{"ZREM", k, w.member()},
		[]any{"ZREMRANGEBYRANK", k, 0, w.n(3)},
		[]any{"ZRANGESTORE", w.key("zset"), k, 0, 5},
		[]any{"ZUNIONSTORE", w.key("zset"), 2, k, k2, "WEIGHTS", 1, 2},
		[]any{"ZDIFFSTORE", w.key("zset"), 2, k, k2},
		[]any{"GEOADD", w.key("geo"), w.rnd.Float64() * 90, w.rnd.Float64() * 80, w.member()},
		[]any{"GEOSEARCHSTORE", w.key("geo"), w.key("geo"), "FROMLONLAT", 20, 20, "BYRADIUS", 5000,
			"km"},
	)
}

func (w *workload) hashes() {
	k := w.key("hash")
	w.oneOf(
		[]any{"HSET", k, w.member(), w.value(), w.member(), w.n(100)},
		[]any{"HSETNX", k, w.member(), w.value()},
		[]any{"HINCRBY", k, "n", w.n(10)},
		[]any{"HINCRBYFLOAT", k, "f", "0.25"},
		[]any{"HDEL", k, w.member(), w.member()},
		[]any{"HPEXPIRE", k, 600_000, "FIELDS", 1, w.member()}, // where the server knows it
		[]any{"HGETDEL", k, "FIELDS", 1, w.member()},
		[]any{"HPERSIST", k, "FIELDS", 1, w.member()},
	)
	if w.n(8) == 0 {
		ttl := 1 + w.n(100)
		w.do("HPEXPIRE", k, ttl, "FIELDS", 1, w.member())
		w.fieldsEnd = time.Now().Add(time.Duration(ttl) * time.Millisecond)
	}
}

func (w *workload) streams() {
	k, group := w.key("stream"), "g"+strconv.Itoa(w.n(2))
	w.oneOf(
		[]any{"XADD", k, "*", "a", w.value(), "b", w.n(10)},
		[]any{"XADD", k, "MAXLEN", "~", 20, "*", "a", w.member()},
		[]any{"XADD", k, "NOMKSTREAM", "MAXLEN", 10, "*", "a", w.member()},
		[]any{"XGROUP", "CREATE", k, group, "0", "MKSTREAM"},
		[]any{"XGROUP", "CREATECONSUMER", k, group, w.member()},
		[]any{"XGROUP", "DELCONSUMER", k, group, w.member()},
		[]any{"XGROUP", "SETID", k, group, "0"},
		[]any{"XREADGROUP", "GROUP", group, w.member(), "COUNT", 3, "STREAMS", k, ">"},
		[]any{"XREADGROUP", "GROUP", group, w.member(), "NOACK", "COUNT", 1, "STREAMS", k, ">"},
		[]any{"XAUTOCLAIM", k, group, w.member(), 0, "0", "COUNT", 2},
		[]any{"XACK", k, group, w.lastID(k)},
		[]any{"XCLAIM", k, group, w.member(), 0, w.lastID(k), "JUSTID"},
		[]any{"XDEL", k, w.lastID(k)},
		[]any{"XTRIM", k, "MAXLEN", 5},
	)
}

// lastID is the id of some entry.
func (w *workload) lastID(k string) string {
	list, _ := w.do("XREVRANGE", k, "+", "-", "COUNT", 1).([]any)
	if len(list) == 0 {
		return "1-1"
	}
	entry, _ := list[0].([]any)
	return fmt.Sprint(entry[0])
}

func (w *workload) keys() {
	kinds := []string{"str", "list", "set", "zset", "hash", "stream", "hll", "geo"}
	kind := kinds[w.n(len(kinds))]
	k, k2 := w.key(kind), w.key(kind)
	w.oneOf(
		[]any{"DEL", k, k2},
		[]any{"UNLINK", k},
		[]any{"PEXPIRE", k, 1 + w.n(80)},
		[]any{"EXPIRE", k, 1000, "LT"},
		[]any{"PERSIST", k},
		[]any{"RENAME", k, k2},
		[]any{"COPY", k, k2, "REPLACE"},
		[]any{"COPY", k, k2, "DB", w.n(4), "REPLACE"},
		[]any{"MOVE", k, w.n(4)},
		[]any{"GET", k}, // which may notice that it has expired
		[]any{"TOUCH", k},
	)
	if w.n(10) == 0 {
		if dump := w.do("DUMP", k); dump != nil {
			w.do("RESTORE", k2, w.n(2)*1000, dump, "REPLACE")
		}
	}
}

func (w *workload) scripts() {
	w.oneOf(
		[]any{"EVAL", `for i = 1, 5 do redis.call('INCR', KEYS[1]) end
			return redis.call('SPOP', KEYS[2])`, 2, w.key("str"), w.key("set")},
		[]any{"EVAL", `redis.call('SET', KEYS[1], redis.call('TIME')[2], 'PX', 50)
			redis.call('SELECT', 3) redis.call('RPUSH', KEYS[2], 'x') error('half way')`, 2,
			w.key("str"), w.key("list")},
		[]any{"FCALL", "put", 2, w.key("str"), w.key("list"), w.member(), w.value()},
	)
}

func (w *workload) transaction() {
	w.do("MULTI")
	for range 1 + w.n(5) {
		switch w.n(3) {
		case 0:
			w.strings()
		case 1:
			w.lists()
		default:
			w.do("SELECT", w.n(4))
		}
	}
	w.oneOf([]any{"EXEC"}, []any{"EXEC"}, []any{"EXEC"}, []any{"DISCARD"})
}

// blocking waits with one connection for what another one brings.
func (w *workload) blocking() {
	k, done := "blocked:"+strconv.Itoa(w.n(3)), make(chan struct{})
	command := [][]any{{"BLPOP", k, 1}, {"BLMOVE", k, w.key("list"), "LEFT", "LEFT", 1},
		{"BZPOPMIN", "z" + k, 1}}[w.n(3)]
	db := w.n(4)
	w.do("SELECT", db)
	w.doOn(w.side, "SELECT", db)
	go func() {
		defer close(done)
		// Its answer does not matter, and its connection is the test's own.
		w.conn.Do(context.Background(), command...)
	}()
	time.Sleep(time.Millisecond) // so that it often blocks; either way is fine
	w.doOn(w.side, "RPUSH", k, w.member())
	w.doOn(w.side, "ZADD", "z"+k, 1, w.member())
	<-done
}

func (w *workload) servers() {
	switch w.n(12) {
	case 0:
		w.do("SWAPDB", w.n(4), w.n(4))
	case 1:
		if w.n(3) == 0 {
			w.do("FLUSHDB")
		}
	case 2:
		if w.n(6) == 0 {
			w.do("FLUSHALL", "ASYNC")
		}
	case 3:
		w.do("PUBLISH", "channel", w.value())
	case 4:
		time.Sleep(time.Duration(w.n(30)) * time.Millisecond) // lets keys expire
	case 5:
		w.do("FUNCTION", "LOAD", "REPLACE", fmt.Sprintf("#!lua name=other%d\n"+
			"redis.register_function('f%d', function() return 1 end)", w.n(3), w.n(3)))
	default:
		w.do("SELECT", w.n(4))
	}
}

// moment is what a server held at an offset.
type moment struct {
	offset    int64
	digest    string
	functions string
}

// observe takes a moment. Nothing comes between the commands of a transaction. A server that has
// no memory left and can evict nothing refuses it, which is reported as false.
//
// On Valkey 9 the digest leaves out fields whose deadline has passed, even where the primary has not
// removed them: the digest of a moment would change later. So observe waits until none is to come.
func (w *workload) observe() (moment, bool) {
	w.t.Helper()
	time.Sleep(time.Until(w.fieldsEnd))
	var digest, role *redis.Cmd
	var functions *redis.FunctionListCmd
	ctx := context.Background()
	_, err := w.conn.TxPipelined(ctx, func(p redis.Pipeliner) error {
		digest = p.Do(ctx, "DEBUG", "DIGEST")
		functions = p.FunctionList(ctx, redis.FunctionListQuery{WithCode: true})
		role = p.Do(ctx, "ROLE")
		return nil
	})
	if err != nil && strings.HasPrefix(err.Error(), "EXECABORT") {
		return moment{}, false
	}
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	return moment{digest: digest.Val().(string), functions: library(functions.Val()),
		offset: role.Val().([]any)[1].(int64)}, true
}

// library words the functions of a server, in an order that does not depend on the server.
func library(libs []redis.Library) string {
	var out []string
	for _, l := range libs {
		out = append(out, l.Name+"\n"+l.Code)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
