package main

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// execute runs one command line and returns its exit code and output.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	err := run(t.Context(), args, &out, &errs)
	if err != nil && !errors.Is(err, errReported) {
		errs.WriteString(err.Error())
	}
	return exitCode(err), out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args           string
		code           int
		stdout, stderr string // parts of it; empty: nothing is printed there
	}{
		{"", exitUsage, "", "no command given"},
		{"help", exitDone, "proxy check", ""},
		{"-h", exitDone, "proxy check", ""},
		{"--help", exitDone, "proxy check", ""},
		{"chekc", exitUsage, "", `unknown command "chekc" (see: proxy help)`},
		{"check -h", exitDone, "--offline", ""},
		{"check --help", exitDone, "--offline", ""},
		{"check --nope", exitUsage, "", "flag provided but not defined: -nope (see: proxy check -h)"},
		{"check stray", exitUsage, "", `unexpected argument "stray" (see: proxy check -h)`},
		{"check --config", exitUsage, "", "flag needs an argument"},
		{"version --json=perhaps", exitUsage, "", "invalid boolean value"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			code, stdout, stderr := execute(t, strings.Fields(tc.args)...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, s := range [][2]string{{stdout, tc.stdout}, {stderr, tc.stderr}} {
				if !strings.Contains(s[0], s[1]) || s[1] == "" && s[0] != "" {
					t.Errorf("printed %q, want %q", s[0], s[1])
				}
			}
		})
	}
}

func TestHelpNamesEverySubcommand(t *testing.T) {
	t.Parallel()
	_, help, _ := execute(t, "help")
	for _, s := range allCommands() {
		if !strings.Contains(help, "proxy "+s.name) {
			t.Errorf("%s is not in\n%s", s.name, help)
		}
		code, usage, _ := execute(t, s.name, "-h")
		if code != exitDone || !strings.HasPrefix(usage, "Usage: proxy "+s.name+" ") {
			t.Errorf("%s -h: %d\n%s", s.name, code, usage)
		}
	}
}

// Help fits a terminal of 100 columns.
func TestHelpIsNarrow(t *testing.T) {
	t.Parallel()
	pages := [][]string{{"help"}}
	for _, s := range allCommands() {
		pages = append(pages, []string{s.name, "-h"})
	}
	for _, name := range []string{"ls", "verify", "show", "export", "which"} {
		pages = append(pages, []string{"journal", name, "-h"})
	}
	for _, page := range pages {
		_, help, _ := execute(t, page...)
		for line := range strings.Lines(help) {
			line = strings.TrimRight(strings.ReplaceAll(line, "    \t", "        "), "\n")
			if n := len([]rune(line)); n > 100 {
				t.Errorf("%v: %d columns: %s", page, n, line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	defer func(v string) { version = v }(version)
	version = "v1.2.3"
	for _, args := range [][]string{{"version"}, {"--version"}, {"-version"}} {
		code, stdout, _ := execute(t, args...)
		if want := "holdfast v1.2.3 (" + runtime.Version(); code != exitDone ||
			!strings.HasPrefix(stdout, want) {
			t.Errorf("%v: %d, %q; want %q", args, code, stdout, want)
		}
	}
	_, stdout, _ := execute(t, "version", "--json")
	var b build
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || b.Version != "v1.2.3" ||
		b.OS != runtime.GOOS || b.Name != "holdfast" {
		t.Errorf("%s: %+v, %v", stdout, b, err)
	}
	version = ""
	if got := thisBuild().Version; got == "" {
		t.Error("without the linker's word there is no version at all")
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	for code, err := range map[int]error{
		exitDone: nil, exitFailed: context.Canceled, exitUsage: usagef("no"),
	} {
		if got := exitCode(err); got != code {
			t.Errorf("%v: got %d, want %d", err, got, code)
		}
	}
}
