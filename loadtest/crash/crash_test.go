package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// testSetting builds the proxy, and looks for the server.
func testSetting(t *testing.T) *setting {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	set := &setting{dir: t.TempDir(), workers: 8, life: 300 * time.Millisecond}
	if set.server, err = harness.Program(root, "valkey", "valkey-server"); err != nil {
		t.Fatal(err)
	}
	set.proxy = filepath.Join(set.dir, "proxy")
	build := exec.Command("go", "build", "-o", set.proxy, "holdfast/cmd/proxy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return set
}

// The harness finds the loss where nothing is held, and where what proves it lies.
func TestHarnessFindsLosses(t *testing.T) {
	set := testSetting(t)
	for _, sc := range proofs() {
		t.Run(sc.name, func(t *testing.T) {
			if _, err := set.prove(t.Context(), &sc, uint64(time.Now().UnixNano())); err != nil {
				t.Error(err)
			}
		})
	}
}
