package replay_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/journal/replay"
	"holdfast/proxy/proxytest"
)

// rounds is how many rounds the differential test makes per server: $HOLDFAST_REPLAY_ROUNDS, or a
// few.
func rounds(t *testing.T) int {
	text := os.Getenv("HOLDFAST_REPLAY_ROUNDS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	stepsPerRound   = 400
	pointsPerRound  = 4
	observeEvery    = 7 // steps, on average
	disturbEvery    = 150
	snapshotEvery   = 200
	evictionPercent = 30 // of the rounds
)

// TestDifferential restores random moments of random workloads and compares what the server held
// then with what the restored one holds: the digest of all keys, and the functions.
func TestDifferential(t *testing.T) {
	t.Parallel()
	servers := proxytest.Binaries(t)
	if os.Getenv("HOLDFAST_REPLAY_ROUNDS") != "" {
		servers = proxytest.Matrix(t) // make restores
	}
	for _, bin := range servers {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind, Args: serverArgs}.Start(t)
			dst := proxytest.Spec{Kind: bin.Kind, Args: serverArgs}.Start(t)
			seed := firstSeed(t)
			for n := range rounds(t) {
				name := fmt.Sprintf("seed %d", seed+uint64(n))
				if !t.Run(name, func(t *testing.T) { round(t, srv, dst, seed+uint64(n)) }) {
					return
				}
			}
		})
	}
}

// firstSeed is $HOLDFAST_REPLAY_SEED, or another one each time.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("HOLDFAST_REPLAY_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func round(t *testing.T, srv, dst *proxytest.Server, seed uint64) {
	w := newWorkload(t, srv, seed)
	for range 100 {
		w.step() // goes into the first base
	}
	r := record(t, srv)
	first, _ := w.observe()
	if w.fat = w.n(100) < evictionPercent; w.fat {
		used, err := strconv.Atoi(srv.Info("memory")["used_memory"])
		if err != nil {
			t.Fatal(err)
		}
		srv.MustDo("CONFIG", "SET", "maxmemory", used+1_000_000, "maxmemory-policy", "allkeys-random")
		defer srv.MustDo("CONFIG", "SET", "maxmemory", 0)
	}
	stop := func() {}
	if w.n(2) == 0 {
		stop = w.chatter()
	}
	moments := []moment{first}
	for range stepsPerRound {
		w.step()
		switch {
		case w.n(observeEvery) == 0:
			if m, ok := w.observe(); ok {
				moments = append(moments, m)
			}
		case w.n(disturbEvery) == 0:
			srv.MustDo("CLIENT", "KILL", "TYPE", "replica")
		case w.n(snapshotEvery) == 0 && r.tap.Attached():
			if _, err := r.tap.Snapshot(context.Background()); err != nil {
				t.Logf("snapshot: %v", err) // the connection may have been killed just now
			}
		}
	}
	stop()
	r.caughtUp()
	t.Logf("%d moments, %d bytes of stream, %s keys evicted", len(moments),
		moments[len(moments)-1].offset-first.offset, srv.Info("stats")["evicted_keys"])
	for range pointsPerRound {
		m := moments[w.n(len(moments))]
		p := r.locate(replay.Selector{Kind: replay.AtOffset, Offset: m.offset})
		if p.Offset != m.offset {
			t.Fatalf("offset %d is no boundary, %d is", m.offset, p.Offset)
		}
		if got := r.restore(dst, p); got != m.digest {
			t.Errorf("offset %d, base at %d: digest %s, want %s", m.offset, p.Base.Offset, got,
				m.digest)
		}
		libs, err := dst.Client().FunctionList(context.Background(),
			redis.FunctionListQuery{WithCode: true}).Result()
		if err != nil || library(libs) != m.functions {
			t.Errorf("offset %d: other functions (%v)", m.offset, err)
		}
	}
	r.stop()
}
