package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/configs"
)

// everyFlag is "PLACE --FLAG" of each flag, read from the printed help and not from the tables.
func everyFlag(t *testing.T) (flags []string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^  --([a-z-]+)`)
	places := [][]string{}
	for _, s := range allCommands() {
		places = append(places, []string{s.name})
		for _, sub := range s.subs {
			places = append(places, []string{s.name, sub.name})
		}
	}
	for _, place := range places {
		for _, found := range line.FindAllStringSubmatch(mustRun(t, append(place, "-h")...), -1) {
			flags = append(flags, strings.Join(place, " ")+" --"+found[1])
		}
	}
	if len(flags) < 80 {
		t.Fatalf("only %d flags: %q", len(flags), flags)
	}
	return flags
}

func TestHelpTopics(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		topic string
		code  int
		want  string // how stdout, or stderr of an error, begins
	}{
		{"", exitDone, "Holdfast is a proxy"},
		{"restore", exitDone, "Usage: proxy restore [flags]\n"},
		{"journal", exitDone, "Usage: proxy journal COMMAND\n"},
		{"journal which", exitDone, "Usage: proxy journal which [flags] BACKUP...\n"},
		{"help", exitDone, "Usage: proxy help [COMMAND | TOPIC | docs [TOPIC] | config [NAME]]\n"},
		{"recovery", exitDone, "# Recovery: a runbook\n"},
		{"docs journal", exitDone, "# The journal"},
		{"docs", exitDone, "  agents         A connection string for agents\n"},
		{"docs none", exitUsage, `there is no page "none": agents, clients,`},
		{"docs agents faq", exitUsage, `unexpected argument "faq"`},
		{"recovery faq", exitUsage, `there is no help about "recovery faq"`},
		{"config", exitDone, "# Holdfast: every key"},
		{"config minimal", exitDone, "#"},
		{"config none", exitUsage, `there is no sample "none": agents, holdfast,`},
		{"config minimal strict", exitUsage, `unexpected argument "strict"`},
		{"nothing", exitUsage, `there is no help about "nothing"`},
		{"journal nothing", exitUsage, `there is no help about "journal nothing"`},
		{"serve ls", exitUsage, `there is no help about "serve ls"`},
	} {
		code, stdout, stderr := execute(t, append([]string{"help"}, strings.Fields(tc.topic)...)...)
		if code != tc.code || !strings.HasPrefix(stdout+stderr, tc.want) {
			t.Errorf("help %s: %d, %.100q %.100q", tc.topic, code, stdout, stderr)
		}
	}
}

// Each sample that the program carries is one that it accepts, and none of the folder is missing.
func TestSamplesAreEmbedded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if name == "alerts" {
			continue
		}
		if !slices.Contains(sampleNames(), name) {
			t.Errorf("%s is not embedded", file)
		}
		if _, err := configs.Parse(name, []byte(mustRun(t, "help", "config", name))); err != nil {
			t.Error(err)
		}
	}
}

// bashCompletes runs the completion of bash for a line that ends at the cursor.
func bashCompletes(t *testing.T, script, dir string, words ...string) []string {
	t.Helper()
	driver := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _holdfast; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command("bash", append([]string{"--norc", "-c", driver, "bash", script, "holdfast"}, words...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", words, err, out)
	}
	return strings.Fields(string(out))
}

func TestBashCompletion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "completion")
	text := mustRun(t, "completion", "--name", "holdfast", "bash")
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		line string // a _ is the empty word at the cursor
		want string // some of the offers; "" for none at all
		not  string // no offer
	}{
		{"_", "serve check journal repair restore diff recover version help completion man", "ls"},
		{"re", "repair restore recover", "serve"},
		{"journal _", "ls show events verify export which", "serve"},
		{"journal ls --", "--dir --config --json --help", "--target"},
		{"restore --ta", "--target --target-password-file", "--dir"},
		{"restore --conflicts _", "skip replace list", "--dir"},
		{"restore --conflicts = r", "replace", "skip"},
		{"restore --ttl =", "keep shift", "skip"},
		{"restore -conflicts s", "skip", "replace"},
		{"repair --conflicts l", "list", "skip"},
		{"restore --target _", "", ""},
		{"restore --dir journal --t", "--target", "--aof"},
		{"check --config _", "completion folder", "--config"},
		{"journal export --dir _", "folder", "completion"},
		{"journal which _", "completion folder", "--dir"},
		{"completion _", "bash zsh fish", "--name"},
		{"help _", "serve config docs recovery", "--name"},
		{"serve _", "", ""},
	} {
		words := strings.Fields(tc.line)
		for i, word := range words {
			if word == "_" {
				words[i] = ""
			}
		}
		got := bashCompletes(t, script, dir, words...)
		for _, want := range strings.Fields(tc.want) {
			if !slices.Contains(got, want) {
				t.Errorf("%s: %q is not among %q", tc.line, want, got)
			}
		}
		if tc.want == "" && len(got) > 0 || tc.not != "" && slices.Contains(got, tc.not) {
			t.Errorf("%s: offers %q", tc.line, got)
		}
	}
	// Each flag completes itself; one bash for all of them.
	driver := `source "$1"; shift; for line in "$@"; do COMP_WORDS=(holdfast $line); COMP_CWORD=$((${#COMP_WORDS[@]}-1))
		_holdfast; echo "$line: ${COMPREPLY[*]} "; done`
	flags := everyFlag(t)
	out, err := exec.Command("bash", append([]string{"--norc", "-c", driver, "bash", script}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimRight(string(out), "\n"), "\n") {
		_, name, _ := strings.Cut(flags[i], " --")
		if !strings.HasPrefix(line, flags[i]+": ") || !strings.Contains(line+" ", " --"+name+" ") {
			t.Errorf("%s is not completed: %q", flags[i], line)
		}
	}
}

// The scripts of zsh and fish name each flag, too, and their shells read them where they are installed.
func TestOtherCompletions(t *testing.T) {
	t.Parallel()
	for shell, form := range map[string]string{"zsh": "'--%:", "fish": " -l %"} {
		text := mustRun(t, "completion", "--name", "holdfast", shell)
		for _, f := range everyFlag(t) {
			_, name, _ := strings.Cut(f, "--")
			if want := strings.Replace(form, "%", name, 1); !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in the script", shell, want)
			}
		}
		if program, err := exec.LookPath(shell); err == nil {
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(program, "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v: %s", shell, err, out)
			}
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "tcsh"}, {"completion", "bash", "zsh"}} {
		if code, _, _ := execute(t, args...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

func TestManPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustRun(t, "man", "--name", "holdfast", "--dir", dir)
	for _, f := range everyFlag(t) {
		place, name, _ := strings.Cut(f, " --")
		file := "holdfast-" + strings.ReplaceAll(place, " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dir, file))
		if want := `.B \-\-` + strings.ReplaceAll(name, "-", `\-`); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not explain --%s: %v", file, name, err)
		}
		if strings.Contains(string(text), "proxy "+strings.Fields(place)[0]+" ") {
			t.Errorf("%s: the program has another name here", file)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	if err != nil || len(files) < 17 {
		t.Fatalf("pages: %q, %v", files, err)
	}
	groff, missing := exec.LookPath("groff")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), `.TH "HOLDFAST`) {
			t.Errorf("%s: %v, %.60q", file, err, text)
		}
		if missing != nil {
			continue
		}
		out, err := exec.Command(groff, "-man", "-Tascii", "-ww", "-z", file).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", file, err, out)
		}
	}
	if page := mustRun(t, "man", "--name", "holdfast", "journal", "ls"); !strings.Contains(page, `.SH OPTIONS`) {
		t.Errorf("man journal ls: %s", page)
	}
	if code, _, _ := execute(t, "man", "nothing"); code != exitUsage {
		t.Errorf("man nothing: exit code %d", code)
	}
}
