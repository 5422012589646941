package main

import (
	"strings"
	"testing"

	"holdfast/loadtest/harness"
)

// Two upgrades, by signal and by hand, meet every promise. A restart does not, and the checks say so.
func TestUpgradeSmall(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	program, err := harness.BuildProxy(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, restart := range []bool{false, true} {
		o := options{rounds: 2, clients: 12, writes: 200, restart: restart}
		r, err := play(t.Context(), root, t.TempDir(), program, o)
		if err != nil {
			t.Fatal(err)
		}
		err = r.check()
		t.Logf("%s\n%v", r.table(o), err)
		if restart != (err != nil) || restart && !strings.Contains(err.Error(), "connections were refused") {
			t.Errorf("restarts %v: %v", restart, err)
		}
	}
}
