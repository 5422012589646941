package repair

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// rounds is how many repairs the random test makes: $HOLDFAST_REPAIR_ROUNDS, or 20.
func rounds(t *testing.T) int {
	text := os.Getenv("HOLDFAST_REPAIR_ROUNDS")
	if text == "" {
		return 20
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRandomRepairs ends servers in the midst of random writes, cuts what they come back from at a
// random place, writes on, and repairs under load. Afterwards each key is what the rule says: it is
// worked out from what the server held at the end of the old history, when it had come back, and
// before the repair, and not from the journal.
func TestRandomRepairs(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("HOLDFAST_REPAIR_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	kinds := proxytest.Binaries(t)
	if os.Getenv("HOLDFAST_REPAIR_ROUNDS") != "" {
		kinds = proxytest.Matrix(t) // make repairs
	}
	var mu sync.Mutex
	total := map[string]int64{}
	t.Run("rounds", func(t *testing.T) {
		for n := range rounds(t) {
			kind := kinds[n%len(kinds)]
			t.Run(fmt.Sprintf("seed %d on %s", seed+uint64(n), kind), func(t *testing.T) {
				t.Parallel()
				rep := playRandom(t, kind.Kind, rand.New(rand.NewPCG(seed+uint64(n), 1)))
				mu.Lock()
				defer mu.Unlock()
				if rep == nil {
					total["nothing lost"]++
					return
				}
				total["repaired"]++
				total["put back"] += rep.Restored
				total["removed"] += rep.Deleted
				total["conflicts"] += rep.Conflicts
			})
		}
	})
	t.Log(total)
}

// playRandom is one round. It returns nil where the server came back whole.
func playRandom(t *testing.T, kind string, rnd *rand.Rand) *Report {
	fromAOF := rnd.IntN(2) == 0
	var args []string
	if fromAOF {
		args = withAOF
	}
	r := newRig(t, kind, args...)
	w := &writer{r: r, rnd: rnd, wrote: map[string]bool{}}
	w.some(50 + rnd.IntN(200))
	if !fromAOF {
		ways[0].keep(r)
	} else if rnd.IntN(2) == 0 {
		r.marked()
	}
	w.some(20 + rnd.IntN(300))
	r.recorded()
	theirs := contents(t, r.srv)
	r.srv.Kill()
	if fromAOF {
		name := aofFile(t, r.srv)
		if err := os.Truncate(name, sizeOf(t, name)-rnd.Int64N(min(sizeOf(t, name), 4000))); err != nil {
			t.Fatal(err)
		}
	}
	before := len(r.j.Incidents())
	r.srv.Restart()
	proxytest.Poll(t, "the incident", func() bool { return len(r.j.Incidents()) > before })
	r.attached()
	in := r.j.Incidents()[before]
	base := contents(t, r.srv)
	if !in.Open() {
		if d := differ(base, theirs); len(d) > 0 {
			t.Errorf("nothing is lost, and %q", d)
		}
		return nil
	}
	clear(w.wrote)
	w.some(rnd.IntN(60))
	r.recorded()
	ours, wrote := contents(t, r.srv), maps.Clone(w.wrote)

	o := r.options(in.N)
	o.Conflicts, o.Item = Skip, nil
	replace := rnd.IntN(2) == 0
	if replace {
		o.Conflicts = Replace
	}
	stop := w.load(t)
	rep := r.repair(o)
	stop()
	if !rep.Done() { // what a server expired before it was attached leaves a hole: Incomplete
		t.Errorf("not done: %q %+v", rep.Incomplete, rep)
	}
	got := contents(t, r.srv)
	for k := range union(base, theirs, ours) {
		if strings.HasPrefix(k, "9 ") {
			continue // the load's
		}
		allowed := []string{ours[k]}
		switch {
		case ours[k] == theirs[k]:
		case theirs[k] == base[k] && !wrote[k]:
		case !wrote[k]:
			allowed = []string{theirs[k]}
		case theirs[k] == base[k]: // where the histories part is not always known exactly: a conflict
			if replace && in.Replaced {
				allowed = append(allowed, theirs[k])
			}
		case replace:
			allowed = []string{theirs[k]}
		}
		if wrote[k] && ours[k] == base[k] { // perhaps: some writes change nothing
			allowed = []string{ours[k], theirs[k]}
		}
		if !contains(allowed, got[k]) {
			t.Errorf("%q is %q, want %q (base %q, theirs %q, ours %q, written since: %t)\n%+v", k, got[k],
				allowed, base[k], theirs[k], ours[k], wrote[k], in)
		}
	}
	return rep
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

func union(all ...map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, m := range all {
		for k := range m {
			out[k] = true
		}
	}
	return out
}

// writer writes at random to few keys, so that histories meet.
type writer struct {
	r     *rig
	rnd   *rand.Rand
	wrote map[string]bool // "db key"
}

func (w *writer) some(n int) {
	conn := w.r.srv.Client().Conn()
	defer conn.Close()
	ctx := context.Background()
	db := -1
	for range n {
		if next := w.rnd.IntN(3); next != db && w.rnd.IntN(4) == 0 || db < 0 {
			db = next
			conn.Do(ctx, "SELECT", db)
		}
		args, keys := w.write(db)
		conn.Do(ctx, args...) // some are refused for want of a key
		for _, k := range keys {
			w.wrote[k] = true
		}
	}
	conn.Do(ctx, "SELECT", 0)
}

// write makes up a command, and says which keys it may change.
func (w *writer) write(db int) ([]any, []string) {
	key := func(kind string) string { return fmt.Sprint(kind, w.rnd.IntN(12)) }
	n := w.rnd.IntN(1000)
	all := [][]any{{"SET", key("s"), n}, {"SET", key("s"), n, "EX", 600 + n}, {"DEL", key("s")},
		{"DEL", key("h"), key("l")}, {"HSET", key("h"), n % 5, n}, {"HDEL", key("h"), n % 5},
		{"SADD", key("m"), n % 7}, {"SREM", key("m"), n % 7}, {"SPOP", key("m")}, {"ZADD", key("z"), n, n % 5},
		{"ZINCRBY", key("z"), 1.5, n % 5}, {"XADD", key("x"), "*", "f", n}, {"XTRIM", key("x"), "MAXLEN", 3},
		{"INCR", key("n")}, {"APPEND", key("s"), n % 10}, {"LPUSH", key("l"), n}, {"RPOP", key("l")},
		{"PEXPIRE", key("s"), 600_000 + n}, {"PERSIST", key("s")}, {"RENAME", key("s"), key("s")},
		{"COPY", key("h"), key("h"), "REPLACE"}, {"SMOVE", key("m"), key("m"), n % 7},
		{"RPOPLPUSH", key("l"), key("l")}, {"MSET", key("s"), n, key("s"), n},
		{"EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('DEL', KEYS[2])", 2, key("s"), key("h"), n},
		{"MOVE", key("s"), (db + 1) % 3}, {"SETRANGE", key("s"), n % 9, "y"},
		{"ZUNIONSTORE", key("z"), 2, key("z"), key("z")}, {"SET", key("s"), n, "PX", 5}}
	args := all[w.rnd.IntN(len(all))]
	var keys []string
	for _, a := range args[1:] {
		keys = append(keys, fmt.Sprint(db, " ", a), fmt.Sprint((db+1)%3, " ", a))
	}
	if args[0] == "SET" && len(args) == 5 && args[3] == "PX" { // it expires by itself
		return []any{"SET", fmt.Sprint("gone", n), n, "PX", 1}, nil
	}
	if db == 2 && n < 8 {
		switch n {
		case 0:
			return []any{"FLUSHDB"}, w.everything(2)
		case 1:
			return []any{"SWAPDB", 1, 2}, append(w.everything(1), w.everything(2)...)
		}
	}
	return args, keys
}

// everything names each key that a database may have.
func (w *writer) everything(db int) (keys []string) {
	for _, kind := range []string{"s", "h", "m", "z", "x", "n", "l"} {
		for i := range 12 {
			keys = append(keys, fmt.Sprint(db, " ", kind, i))
		}
	}
	return keys
}

// load has clients write and read elsewhere until it is stopped.
func (w *writer) load(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			conn := w.r.srv.Client().Conn()
			defer conn.Close()
			conn.Do(ctx, "SELECT", 9)
			for n := 0; ctx.Err() == nil; n++ {
				conn.Do(ctx, "SET", fmt.Sprint("load", i, n%100), n)
				time.Sleep(5 * time.Millisecond) // or they would take the processors from the repair
			}
			conn.Do(context.Background(), "SELECT", 0)
		})
	}
	return func() { cancel(); all.Wait() }
}
