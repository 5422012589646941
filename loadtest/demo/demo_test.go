package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// The incident at a smaller size. How long commands take is for `make demo` to judge.
func TestIncident(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	proxy := filepath.Join(dir, "proxy")
	build := exec.Command("go", "build", "-o", proxy, "holdfast/cmd/proxy")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var said strings.Builder
	err = withStack(root, dir, proxy, func(s *stack) error {
		d := &demo{stack: s, out: &said, flood: floodHere, options: options{
			keys: 20_000, flushes: 10_000, conns: 50, clients: 10, span: time.Second,
			measure: 300 * time.Millisecond,
		}}
		return d.play(t.Context())
	})
	if err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}
