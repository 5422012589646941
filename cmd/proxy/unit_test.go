package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var execLine = regexp.MustCompile(`(?m)^Exec\w+=/usr/local/bin/holdfast (\w+) (.*)$`)

// The command lines of the systemd unit must be ones that this program takes.
func TestUnitCommands(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("../../configs/holdfast.service")
	if err != nil {
		t.Fatal(err)
	}
	lines := execLine.FindAllStringSubmatch(string(unit), -1)
	if len(lines) != 2 {
		t.Fatalf("command lines in the unit: %q", lines)
	}
	for _, line := range lines {
		// With -h behind them the flags are parsed, and nothing is done.
		args := append([]string{line[1]}, strings.Fields(line[2]+" -h")...)
		if code, _, stderr := execute(t, args...); code != exitDone {
			t.Errorf("%s: %s", line[0], stderr)
		}
	}
}
