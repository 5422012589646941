package main

import (
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// TestParts runs all parts at a small size. The figures are for make bench-repair to judge.
func TestParts(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &bench{keys: 2000, tail: 0.5, value: 1, diffKeys: 5000, sample: 500, rate: "0", quiet: 50 * time.Millisecond,
		root: root, dir: dir}
	if b.bin, err = harness.BuildProxy(dir); err != nil {
		t.Fatal(err)
	}
	text, err := b.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"feed of 0.005 MB", "feed of 0.05 MB", "feed of 0.5 MB", "put back and verified",
		"| diff --sample 500 |", "| diff --rate 0 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestLap(t *testing.T) {
	c := &clients{refused: time.Second}
	for i := range 100 {
		c.took = append(c.took, time.Duration(100-i)*time.Millisecond)
	}
	want := lap{n: 100, p50: 51 * time.Millisecond, p99: 100 * time.Millisecond, max: 100 * time.Millisecond,
		refused: time.Second}
	if got := c.lap(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := c.lap(); got != (lap{}) {
		t.Errorf("after a lap: %+v", got)
	}
}
