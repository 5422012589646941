package tap_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/tap"
	"holdfast/proxy/proxytest"
)

// TestVerdictsAreTrue ends a server in the midst of random writes, cleanly, by kill -9 or with a
// random piece of its append-only file gone, and compares the verdict with the truth: what the
// journal restores against what the server loads.
func TestVerdictsAreTrue(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	counts := map[string]int{}
	for round := range 6 {
		kinds := proxytest.Binaries(t)
		kind := kinds[round%len(kinds)].Kind
		t.Run(fmt.Sprint(round), func(t *testing.T) { playTruth(t, rnd, kind, round, counts) })
	}
	t.Log(counts)
}

func playTruth(t *testing.T, rnd *rand.Rand, kind string, round int, counts map[string]int) {
	args := slices.Concat(serverArgs, always)
	srv := proxytest.Spec{Kind: kind, Args: args}.Start(t)
	r := newRig(t, srv.Addr)
	r.opts.Sample, r.opts.Mark = time.Duration(1+rnd.IntN(30))*time.Millisecond, true
	r.start().attached()
	srv.MustDo("SET", "s0", 0)
	proxytest.Poll(t, "a mark", func() bool { c := r.current().Counts; return c != nil && c.Mark > 0 })
	for range 20 + rnd.IntN(400) {
		_, _ = srv.Do(randomWrite(rnd, round%2 == 0)...) // some are refused for want of a key
	}
	r.caughtUp(srv)
	if err := r.stop(); err != nil { // so that it does not see the server before we have
		t.Fatal(err)
	}
	if round%2 == 0 {
		srv.Stop()
	} else {
		srv.Kill()
	}
	chopped := round%3 > 0
	if chopped {
		chop(t, srv, rnd)
	}
	truth := contents(t, copyOf(t, srv, args))
	held := contents(t, restoredEnd(t, r, kind))
	srv.Restart()
	r.start().attached()
	in := r.j.Incidents()
	if len(in) != 1 {
		t.Fatalf("%+v", in)
	}
	equal := truth == held
	counts[fmt.Sprintf("%s, equal %t", in[0].Verdict, equal)]++
	// Behind a FLUSHALL shortly before the end there is no mark, and on a busy machine no count of the keys either.
	unmarked := in[0].Verdict == journal.InQuestion && strings.HasPrefix(in[0].Why, "the mark was removed")
	if !chopped && in[0].Verdict != journal.NothingLost && !unmarked {
		t.Errorf("nothing was taken from the server, and the verdict is %+v", in[0])
	}
	// Commands that leave all as it was can be lost as well.
	wrong := in[0].Verdict == journal.Lost && equal && in[0].Commands == 0
	if in[0].Verdict == journal.NothingLost && !equal || wrong {
		t.Errorf("verdict %q, and the data is equal: %t\n%+v\nserver:  %.2000s\njournal: %.2000s",
			in[0].Verdict, equal, in[0], truth, held)
	}
}

// randomWrite is a write. Those of the plain sort say what they leave behind. Few keys and values make
// it likely that a key looks as it would behind a write that was lost.
func randomWrite(rnd *rand.Rand, plain bool) []any {
	key := func(kind string) string { return fmt.Sprint(kind, rnd.IntN(3)) }
	n := rnd.IntN(1000)
	if rnd.IntN(2) == 0 {
		n %= 3
	}
	writes := [][]any{{"DEL", key("h"), key("m"), key("z"), key("x")}, {"SET", key("s"), n, "KEEPTTL"},
		{"XADD", key("x"), fmt.Sprint(n+1, "-1"), "f", n % 2}, {"SET", key("s"), n}, {"SET", key("s"), n, "EX", 600 + n}, {"DEL", key("s"), key("h")},
		{"HSET", key("h"), n % 3, n}, {"HDEL", key("h"), n % 3}, {"SADD", key("m"), n % 5},
		{"SREM", key("m"), n % 5}, {"ZADD", key("z"), n, n % 4}, {"XADD", key("x"), "*", "f", n},
		{"EXPIRE", key("s"), 600 + n}, {"PERSIST", key("s")}, {"MSET", key("s"), n, key("s"), n + 1},
		{"PUBLISH", "c", n}, {"INCR", key("n")}, {"LPUSH", key("l"), n}, {"RPOP", key("l")},
		{"APPEND", key("s"), n}, {"RENAME", key("s"), key("s")}, {"FLUSHALL"}, {"SPOP", key("m")},
		{"COPY", key("s"), key("s"), "REPLACE"}, {"SMOVE", key("m"), key("m"), n % 5},
		{"ZADD", key("z"), n, 1, "1.50", 2}, {"EXPIRE", key("s"), 500 + n, "NX"}, {"MOVE", key("s"), 3}, {"COPY", key("h"), key("h"), "DB", 3}, {"RPOPLPUSH", key("l"), key("l")}}
	if plain {
		return writes[rnd.IntN(16)]
	}
	for {
		w := writes[rnd.IntN(len(writes))]
		if w[0] != "FLUSHALL" || n < 100 {
			return w
		}
	}
}

// chop takes a random piece off the end of the append-only file.
func chop(t *testing.T, srv *proxytest.Server, rnd *rand.Rand) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(srv.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	name := files[len(files)-1]
	st, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, st.Size()-rnd.Int64N(min(st.Size(), 600)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyOf starts a server from a copy of another one's files.
func copyOf(t *testing.T, srv *proxytest.Server, args []string) *proxytest.Server {
	t.Helper()
	other := proxytest.Spec{Kind: srv.Binary.Kind, Args: args}.Start(t)
	other.Stop()
	removeData(t, other)
	from := filepath.Join(srv.Dir, "appendonlydir")
	if err := os.CopyFS(filepath.Join(other.Dir, "appendonlydir"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	other.Restart()
	return other
}

// restoredEnd starts a server with everything that the journal holds of its current timeline.
func restoredEnd(t *testing.T, r *rig, kind string) *proxytest.Server {
	t.Helper()
	dst := proxytest.Spec{Kind: kind, Args: serverArgs}.Start(t)
	view := r.view()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtEnd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := replay.NewPlan(ctx, view, p, nil)
	if err == nil {
		_, err = replay.Restore(ctx, replay.RestoreOptions{View: view, Plan: plan, Target: dst.Addr})
	}
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

// contents describes the data of a server without the mark.
func contents(t *testing.T, srv *proxytest.Server) string {
	t.Helper()
	srv.MustDo("EVAL", "redis.call('SELECT', 15) return redis.call('DEL', KEYS[1])", 1, tap.MarkKey)
	keys, _ := srv.MustDo("KEYS", "*").([]any)
	other := srv.MustDo("EVAL", "redis.call('SELECT', 3) return #redis.call('KEYS', '*')", 0)
	var names []string
	for _, k := range keys {
		names = append(names, fmt.Sprint(k))
	}
	slices.Sort(names)
	out := fmt.Sprint(other, " in db 3 ")
	for _, k := range names {
		out += fmt.Sprint(k, "=", srv.MustDo("DEBUG", "DIGEST-VALUE", k), srv.MustDo("PEXPIRETIME", k), " ")
	}
	return out
}
