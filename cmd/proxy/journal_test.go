package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// recordedArgs let a server attach a journal at once, and compare its data.
var recordedArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
	"--enable-debug-command", "yes"}

// recordingConfig keeps a journal in the configuration file's folder, and lets everything pass. It
// marks no server: tests compare digests.
const recordingConfig = "rules: []\njournal: {dir: j, mark: 0s}\n"

// folder is where the proxy's journal is.
func (p *process) folder() string { return filepath.Join(filepath.Dir(p.file), "j") }

// recordedAll waits until the journal holds everything that the server has executed so far. It reads the folder
// only once the server has the acknowledgement of a replica, if it has replicas: each look reads a segment.
func (p *process) recordedAll(srv *proxytest.Server) {
	p.t.Helper()
	end, err := strconv.ParseInt(srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	proxytest.Poll(p.t, "the journal has everything", func() bool {
		if replicasLag(srv.Info("replication"), end) {
			return false
		}
		code, stdout, _ := execute(p.t, "journal", "ls", "--dir", p.folder(), "--json")
		var v journalView
		if code != exitDone || json.Unmarshal([]byte(stdout), &v) != nil || len(v.Bases) == 0 {
			return false
		}
		last := v.Timelines[len(v.Timelines)-1]
		return last.ReplID == srv.Info("replication")["master_replid"] && last.End >= end
	})
}

// replicasLag reports whether there are replicas, and none has acknowledged offset.
func replicasLag(info map[string]string, offset int64) bool {
	replicas := 0
	for i := range 8 {
		fields, ok := info["slave"+strconv.Itoa(i)]
		if !ok {
			continue
		}
		replicas++
		_, text, _ := strings.Cut(fields, ",offset=")
		text, _, _ = strings.Cut(text, ",")
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= offset {
			return false
		}
	}
	return replicas > 0
}

func offsetOf(t *testing.T, srv *proxytest.Server) int64 {
	t.Helper()
	n, err := strconv.ParseInt(srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// stop ends the proxy in good order, kill by SIGKILL; again restarts it.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
}

func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

func (p *process) again() {
	p.t.Helper()
	cmd := p.program.command(p.t, "serve", "--config", p.file)
	cmd.Stderr = &p.log
	p.cmd, p.exited = cmd, make(chan struct{})
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.wait()
}

// recording starts a server and a proxy that keeps its journal.
func recording(t *testing.T, kind string) (*proxytest.Server, *process) {
	t.Helper()
	srv := proxytest.Spec{Kind: kind, Args: recordedArgs}.Start(t)
	p := startProxy(t, srv, recordingConfig)
	p.recordedAll(srv)
	return srv, p
}

// mustRun requires a command line to end with code 0 and returns its output.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := execute(t, args...)
	if code != exitDone {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

func TestJournalUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"journal", exitUsage, "which (see: proxy journal -h)"},
		{"journal nope", exitUsage, `unknown command "journal nope"`},
		{"journal -x", exitUsage, "flag provided but not defined"},
		{"journal ls", exitUsage, "which journal? Give --dir or --config (see: proxy journal ls -h)"},
		{"journal ls --dir a --config b", exitUsage, "give either"},
		{"journal ls --dir /nonexistent", exitFailed, "no such file"},
		{"journal ls --config /nonexistent", exitFailed, "no such file"},
		{"journal which --dir /nonexistent", exitUsage, "no file given"},
		{"journal verify --dir /nonexistent", exitFailed, "no such file"},
		{"journal show --dir x --from soon", exitUsage, "-from: \"soon\" is neither"},
		{"journal show --dir x --to soon", exitUsage, "-to: \"soon\" is neither"},
		{"journal show --dir x --timeline -1", exitUsage, "-timeline is a number"},
		{"journal export --dir x --end", exitUsage, "where to? Give --aof"},
		{"journal export --dir x --aof y", exitUsage, "up to where?"},
		{"restore --dir x", exitUsage, "up to where?"},
		{"restore --dir x --end", exitUsage, "where to? Give --target"},
		{"restore --dir x --end --to 5 --dry-run", exitUsage, "give one of"},
		{"restore --dir x --end --nth 2 --dry-run", exitUsage, "-nth counts from 1"},
		{"restore --dir x --end --skip 9-5 --dry-run", exitUsage, "invalid value"},
		{"restore --dir x --end --timeline -5 --dry-run", exitUsage, "a timeline is a number"},
		{"restore --dir x --end --listen 5", exitUsage, "-listen: "},
		{"restore --dir x --end --target a:1 --advertise b:2", exitUsage, "-advertise goes with"},
		{"restore --dir x --end --listen :0 --force", exitUsage, "-force goes with"},
		{"restore --dir x --end --target ADDRESS", exitUsage, "ADDRESS stands for the server to rebuild"},
		{"restore --dir x --end --target http://a", exitUsage, `-target: "http" is not redis`},
		{"restore --dir x --end --target rediss://a?cert=x", exitUsage, "cert and key go together"},
		{"restore --dir x --end --target redis://a/5", exitUsage, "all databases"},
		{"restore --dir x --end --target redis://", exitUsage, "names no host"},
		{"restore --dir /nonexistent --end --dry-run", exitFailed, "no such file"},
	} {
		code, stdout, stderr := execute(t, strings.Fields(tc.args)...)
		if code != tc.code || stdout != "" || !strings.Contains(stderr, tc.stderr) {
			t.Errorf("%s: exit code %d, want %d; printed %q and %q", tc.args, code, tc.code, stdout,
				stderr)
		}
	}
	for _, s := range journalCommands {
		if help := mustRun(t, "journal", s.name, "-h"); !strings.HasPrefix(help,
			"Usage: proxy journal "+s.name+" ") || !strings.Contains(help, "  --dir folder\n") {
			t.Errorf("journal %s -h:\n%s", s.name, help)
		}
	}
	empty := t.TempDir()
	for _, args := range [][]string{{"journal", "ls"}, {"journal", "verify"},
		{"restore", "--end", "--dry-run"}} {
		code, _, stderr := execute(t, append(args, "--dir", empty)...)
		if code != exitFailed || !strings.Contains(stderr, "there is no journal in "+empty) {
			t.Errorf("%v on an empty folder: %d, %s", args, code, stderr)
		}
	}
}

func TestParsePlace(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, zone)
	for text, want := range map[string]place{
		"":                        {},
		"0":                       {given: true},
		"48213":                   {given: true, offset: 48213},
		"2026-03-01T10:00:00.25Z": {given: true, time: time.Date(2026, 3, 1, 10, 0, 0, 250e6, time.UTC)},
		"2026-03-01 10:00:00.5":   {given: true, time: time.Date(2026, 3, 1, 10, 0, 0, 500e6, zone)},
		"2026-03-01T10:00":        {given: true, time: time.Date(2026, 3, 1, 10, 0, 0, 0, zone)},
		"11:59:59":                {given: true, time: time.Date(2026, 3, 1, 11, 59, 59, 0, zone)},
		"12:01":                   {given: true, time: time.Date(2026, 2, 28, 12, 1, 0, 0, zone)},
		"90s ago":                 {given: true, time: now.Add(-90 * time.Second)},
	} {
		got, err := parsePlace(text, now)
		if err != nil || got.given != want.given || got.offset != want.offset ||
			!got.time.Equal(want.time) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"soon", "-5", "5x", "2026-13-01 10:00:00", "-5s ago", "ago"} {
		if got, err := parsePlace(text, now); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestParseTarget(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]target{
		"redis://u:p%40@h:1":  {"h:1", "u", "p@", nil},
		"valkey://:p@h":       {"h:6379", "", "p", nil},
		"h:1":                 {"h:1", "", "", nil},
		"redis://[::1]:7/0":   {"[::1]:7", "", "", nil},
		"unix:/run/x.sock":    {"unix:/run/x.sock", "", "", nil},
		"unix:///run/x.sock":  {"unix:/run/x.sock", "", "", nil},
		"redis://u@127.0.0.1": {"127.0.0.1:6379", "u", "", nil},
	} {
		if got, err := parseTarget(text, ""); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	if got, err := parseTarget("h:1", file); err != nil || got.password != "from file" {
		t.Errorf("with a file: %+v, %v", got, err)
	}
	if _, err := parseTarget("redis://:p@h:1", file); err == nil {
		t.Error("two passwords were taken")
	}
	if _, err := parseTarget("redis://:secret@h:x", ""); err == nil ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad port: %v", err)
	}
	t.Setenv(targetPasswordEnv, "from outside")
	if got, err := parseTarget("h:1", ""); err != nil || got.password != "from outside" {
		t.Errorf("with the environment: %+v, %v", got, err)
	}
}

func TestJournalShow(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	client := srv.Client()
	ctx := t.Context()
	for _, args := range [][]any{
		{"SET", "pay:1", "a b\n"}, {"SET", "other", strings.Repeat("x", 100)}, {"DEL", "pay:1"},
		{"RPUSH", "list", "1"}, {"LPOP", "list"}, {"SELECT", "0"}, {"FLUSHALL"},
	} {
		if err := client.Do(ctx, args...).Err(); err != nil {
			t.Fatal(args, err)
		}
	}
	p.recordedAll(srv)
	show := func(args ...string) (words []string) {
		t.Helper()
		out := mustRun(t, append([]string{"journal", "show", "--dir", p.folder()}, args...)...)
		for line := range strings.Lines(out) {
			f := strings.SplitN(strings.TrimSpace(line), "  ", 4)
			if len(f) != 4 || !strings.HasPrefix(f[2], "db") {
				t.Fatalf("odd line %q", line)
			}
			words = append(words, f[3])
		}
		return words
	}
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, `SET pay:1 "a b\n"|SET other ` + strings.Repeat("x", 64) + ` …|DEL pay:1|RPUSH list 1|` +
			`LPOP list|FLUSHALL`},
		{[]string{"--key", "pay:*"}, `SET pay:1 "a b\n"|DEL pay:1`},
		{[]string{"--match", "FLUSH*"}, "FLUSHALL"},
		{[]string{"--destructive"}, "DEL pay:1|LPOP list|FLUSHALL"},
		{[]string{"--from", "1h ago", "--match", "lpop"}, "LPOP list"},
		{[]string{"--to", "1h ago"}, ""},
		{[]string{"--full", "--match", "set", "--key", "other"}, "SET other " + strings.Repeat("x", 100)},
	} {
		got := strings.Join(show(tc.args...), "|")
		if !strings.EqualFold(got, tc.want) {
			t.Errorf("%v:\n%s\nwant\n%s", tc.args, got, tc.want)
		}
	}
	if all := show("--all"); len(all) < 7 {
		t.Errorf("--all: %q", all)
	}
	out := mustRun(t, "journal", "show", "--dir", p.folder(), "--json", "--match", "del")
	var line lineView
	if err := json.Unmarshal([]byte(out), &line); err != nil || line.DB == nil || *line.DB != 0 ||
		len(line.Args) != 2 || line.Args[1] != "pay:1" {
		t.Errorf("--json: %s: %+v, %v", out, line, err)
	}
	// From one offset to the next: exactly that command.
	got := show("--from", fmt.Sprint(line.Offset), "--to", fmt.Sprint(line.End))
	if len(got) != 1 || !strings.EqualFold(got[0], "del pay:1") {
		t.Errorf("by offset: %q", got)
	}
}

// A flipped byte anywhere is found, and said in the exit code.
func TestJournalVerify(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", strings.Repeat("v", 1000))
	p.recordedAll(srv)
	if out := mustRun(t, "journal", "verify", "--dir", p.folder()); !strings.HasPrefix(out,
		"ok    1 segment, 1 base, ") {
		t.Error(out)
	}
	p.stop()
	bases, err := filepath.Glob(filepath.Join(p.folder(), "*.rdb"))
	if err != nil || len(bases) != 1 {
		t.Fatal(bases, err)
	}
	flipByte(t, bases[0], 30)
	code, stdout, _ := execute(t, "journal", "verify", "--dir", p.folder(), "--json")
	var v verdictView
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != exitFailed || v.OK ||
		len(v.Problems) != 1 || v.Problems[0].File != filepath.Base(bases[0]) {
		t.Errorf("%d, %s", code, stdout)
	}
	if code, stdout, _ := execute(t, "journal", "verify", "--dir", p.folder()); code != exitFailed ||
		!strings.HasPrefix(stdout, "FAIL  "+filepath.Base(bases[0])) {
		t.Errorf("%d, %s", code, stdout)
	}
}

// flipByte turns a bit of a file over.
func flipByte(t *testing.T, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJournalWhich(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	backup := func(name string) string {
		t.Helper()
		srv.Save()
		text, err := os.ReadFile(filepath.Join(srv.Dir, "dump.rdb"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	srv.MustDo("SET", "a", 1)
	old := backup("old.rdb")
	srv.MustDo("SET", "b", 1)
	srv.MustDo("SET", "c", 1)
	fresh := backup("fresh.rdb")
	srv.MustDo("SET", "d", 1)
	p.recordedAll(srv)
	out := mustRun(t, "journal", "which", "--json", "--dir", p.folder(), old, fresh)
	var v whichView
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Backups) != 2 ||
		v.Newest != fresh || v.Backups[0].Newest || !v.Backups[1].Newest ||
		v.Backups[0].Commands != 3 || v.Backups[1].Commands != 1 || !v.Backups[0].OnHistory ||
		v.Backups[0].Offset >= v.Backups[1].Offset || v.Backups[0].Condition != "ok" {
		t.Errorf("%s %v", out, err)
	}
	out = mustRun(t, "journal", "which", "--dir", p.folder(), old, fresh)
	answer, rest, _ := strings.Cut(out, "\n")
	want := "the journal has it all: proxy restore --dir " + p.folder() + " --end --target ADDRESS"
	if !strings.HasPrefix(answer, "newest: "+fresh+" (ok); it lacks 1 command (") ||
		!strings.HasSuffix(answer, want) || !strings.Contains(rest, "3 commands") ||
		!strings.Contains(rest, "*  "+fresh) {
		t.Error(out)
	}
	code, stdout, _ := execute(t, "journal", "which", "--dir", p.folder(), old, p.file)
	if code != exitFailed || !strings.Contains(stdout, "!  "+p.file) ||
		!strings.HasPrefix(stdout, "newest: "+old) {
		t.Errorf("%d, %s", code, stdout)
	}
}

// TestRestoreFrom continues a backup, and refuses what cannot be continued.
func TestRestoreFrom(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	srv.Save()
	srv.MustDo("SET", "b", 1)
	want := srv.MustDo("DEBUG", "DIGEST")
	p.recordedAll(srv)
	backup := filepath.Join(srv.Dir, "dump.rdb")
	dst := proxytest.StartServer(t, "--enable-debug-command", "yes")
	out := mustRun(t, "restore", "--dir", p.folder(), "--from", backup, "--end", "--target", dst.Addr)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want || !strings.Contains(out, backup) {
		t.Errorf("digest %v, want %v: %s", got, want, out)
	}
	dir := filepath.Join(t.TempDir(), "appendonlydir")
	mustRun(t, "journal", "export", "--dir", p.folder(), "--from", backup, "--end", "--aof", dir)
	srv.MustDo("SET", "c", 1)
	flipByte(t, backup, 40)
	for what, path := range map[string]string{"damaged RDB file": backup, "is a folder": dir,
		"no such file": backup + ".not"} {
		code, _, stderr := execute(t, "restore", "--dir", p.folder(), "--from", path, "--end",
			"--target", dst.Addr, "--force")
		if code != exitFailed || !strings.Contains(stderr, what) {
			t.Errorf("%s: %d, %s", what, code, stderr)
		}
	}
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Error("the target was touched")
	}
}

func TestJournalExport(t *testing.T) {
	t.Parallel()
	srv, p := recording(t, "")
	srv.MustDo("SET", "a", 1)
	want := srv.MustDo("DEBUG", "DIGEST")
	srv.MustDo("FLUSHALL")
	p.recordedAll(srv)
	dir := t.TempDir()
	out := mustRun(t, "journal", "export", "--config", p.file, "--before-command", "flushall",
		"--aof", filepath.Join(dir, "restored"))
	if !strings.Contains(out, "SET a 1\n  --> the point") {
		t.Error(out)
	}
	_, run, _ := strings.Cut(out, "start a server from it with\n")
	words := strings.Fields(run) // the printed command starts it
	if len(words) == 0 || words[0] != strings.TrimSuffix(srv.Binary.Kind, "9")+"-server" {
		t.Fatal(out)
	}
	dst := proxytest.StartServer(t, append(words[1:], "--enable-debug-command", "yes")...)
	if got := dst.MustDo("DEBUG", "DIGEST"); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
	code, _, stderr := execute(t, "journal", "export", "--config", p.file, "--end", "--aof",
		filepath.Join(dir, "restored"))
	if code != exitFailed || !strings.Contains(stderr, "not empty") {
		t.Errorf("into a folder with something in it: %d, %s", code, stderr)
	}
}
