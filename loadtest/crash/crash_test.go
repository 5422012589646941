package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// TestMain builds the proxy that all tests run.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		panic(err)
	}
	code := 1
	if builtProxy, err = harness.BuildProxy(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

var builtProxy string

func testSetting(t *testing.T) *setting {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	set := &setting{dir: t.TempDir(), proxy: builtProxy, workers: 8, life: 300 * time.Millisecond}
	if set.server, err = harness.Program(root, "valkey", "valkey-server"); err != nil {
		t.Fatal(err)
	}
	return set
}

// The harness finds the loss where nothing is held, and where what proves it lies.
func TestHarnessFindsLosses(t *testing.T) {
	set := testSetting(t)
	for i, sc := range proofs() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel() // rounds wait more than they work
			seed := uint64(time.Now().UnixNano())
			if _, err := set.prove(t.Context(), &sc, fmt.Sprint("proof", i), seed); err != nil {
				t.Error(err)
			}
		})
	}
}

// testRoundsMost is how often a scenario is played at most until anything is acknowledged: on a busy
// machine a round may pass in which nothing is proven in time.
const testRoundsMost = 20

// A round of everything: `make crash` plays hundreds.
func TestNoAcknowledgedWriteIsLost(t *testing.T) {
	set := testSetting(t)
	for i, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			for n := range testRoundsMost {
				seed := uint64(time.Now().UnixNano())
				a, err := set.play(t.Context(), &sc, fmt.Sprintf("%d-%d", i, n), seed)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range a.problems {
					t.Errorf("seed %d, after %v: %v", seed, a.happened, p)
				}
				if t.Failed() || a.acked > 0 || sc.idle {
					return
				}
			}
			t.Errorf("nothing was acknowledged in %d rounds", testRoundsMost)
		})
	}
}
