package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// configFile writes a configuration file and returns its path.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "h.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// expectCheck runs check on a file of that text and requires lines of the output to begin with
// each of want; the file is FILE in them.
func expectCheck(t *testing.T, code int, text string, flags []string, want ...string) string {
	t.Helper()
	file := configFile(t, text)
	got, stdout, stderr := execute(t, append([]string{"check", "--config", file}, flags...)...)
	if got != code || stderr != "" {
		t.Errorf("exit code %d, want %d; on stderr: %q", got, code, stderr)
	}
	stdout = strings.ReplaceAll(stdout, file, "FILE")
	for _, line := range want {
		if !strings.Contains("\n"+stdout, "\n"+line) {
			t.Errorf("no line begins with %q in\n%s", line, stdout)
		}
	}
	return stdout
}

var offline = []string{"--offline"}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	expectCheck(t, exitDone, "limits: {max_clients: 9, pinned_links: 9}\n", offline,
		"ok    config: FILE: 1 listener, upstream 127.0.0.1:6379",
		"ok    rules: the built-in ones", "2 ok, 0 warnings, 0 failures")
	expectCheck(t, exitFailed, "workers: 0\nuptream: {}\n", offline,
		"FAIL  config: FILE:1:10: workers: must be from 1 to 1024, got 0",
		`FAIL  config: FILE:2:1: unknown key "uptream" (did you mean upstream?)`,
		"0 ok, 0 warnings, 2 failures")
	code, stdout, _ := execute(t, "check", "--config", "/nonexistent/h.yaml")
	if code != exitFailed || !strings.HasPrefix(stdout, "FAIL  config: open /nonexistent/h.yaml") {
		t.Errorf("%d, %s", code, stdout)
	}
	if code, stdout, _ := execute(t, "check", "--offline"); code != exitDone ||
		!strings.HasPrefix(stdout, "ok    config: the defaults: 1 listener") {
		t.Errorf("without a file: %d, %s", code, stdout)
	}
}

func TestCheckRules(t *testing.T) {
	t.Parallel()
	expectCheck(t, exitDone, "rules: []\n", offline,
		"warn  rules: none: every command is allowed")
	expectCheck(t, exitDone, `
rules:
  - {name: all, commands: [flushall, "config|set"], action: deny}
  - {name: again, commands: [flushall], action: deny}
  - {name: new, commands: [frobnicate], action: deny}
  - {name: look, commands: [keys], action: deny, enforcement: observe}
`, offline,
		"ok    rules: 4",
		`warn  rules: FILE:4:5: rule "again" decides nothing`,
		`warn  rules: FILE:5:5: rule "new" decides nothing`,
		`warn  rules: FILE:6:5: rule "look" is only observed`,
		"warn  rules: no command that the built-in command table has (the server may know "+
			"more) is called frobnicate")
	expectCheck(t, exitFailed, `
rules:
  - {name: a, commands: [get, "@nope*"], action: deny}
`, offline,
		`FAIL  rules: FILE:3:31: rules[0].commands[1]: rule "a": `)
}

// Faults from reading the file and from compiling rules and routes are reported together, in the
// order of the file, each once.
func TestCheckTellsAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	file := configFile(t, `workers: 0
rules:
  - {name: a, commands: [get], action: denny}
  - {name: b, commands: [get], action: deny, limit: {rate: often}}
routes:
  - {name: c, keys: ["pay:*"], ack: {replicas: -1}}
drain: 5
`)
	for _, args := range [][]string{{"check", "--offline"}, {"serve"}} {
		_, stdout, stderr := execute(t, append(args, "--config", file)...)
		var places []string
		for line := range strings.Lines(stdout + stderr) {
			if _, rest, ok := strings.Cut(line, file+":"); ok {
				place, _, _ := strings.Cut(rest, ": ")
				places = append(places, place)
			}
		}
		if got, want := strings.Join(places, " "), "1:10 3:40 4:60 6:48 7:8"; got != want {
			t.Errorf("%v: errors at %s, want %s; printed\n%s%s", args, got, want, stdout, stderr)
		}
	}
}

func TestCheckWarnsOfAReadablePassword(t *testing.T) {
	t.Parallel()
	file := configFile(t, "upstream: {password: hunter2}\n")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := execute(t, "check", "--offline", "--config", file)
	if !strings.Contains(stdout, "holds a password and everyone can read it (mode 0644)") ||
		strings.Contains(stdout, "hunter2") {
		t.Error(stdout)
	}
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		text := "upstream: {address: \"" + srv.Addr + "\"}\n"
		expectCheck(t, exitDone, text, nil,
			"ok    login: the control user default may do what the proxy needs",
			"ok    login: the server asks for no password, and only this machine",
			fmt.Sprintf("ok    version: %s", srv.Binary.Kind[:5]),
			"ok    role: primary",
			"warn  persistence: none: a restart loses everything",
			"ok    memory: the server has no maxmemory",
			"ok    databases: 16",
			"ok    commands: ",
			"ok    rules: the built-in ones")
		srv.MustDo("CONFIG", "SET", "appendonly", "yes", "maxmemory", "100mb",
			"maxmemory-policy", "allkeys-lru", "maxclients", "100")
		expectCheck(t, exitDone, text+"limits: {max_bulk: 1MiB}\n", nil,
			"ok    persistence: append-only file, fsync everysec",
			"warn  memory: maxmemory 100MiB with allkeys-lru",
			"warn  limits: pinned_links is 10000, and the server takes 100 connections",
			"warn  limits: max_bulk is 1MiB, and the server takes 512MiB")
		expectCheck(t, exitFailed, text+
			"rules: [{name: a, commands: [flushal], action: deny}]\n", nil,
			`FAIL  rules: FILE:2:30: rules[0].commands[0]: rule "a": unknown command "flushal"`)
	})
}

func TestCheckReplica(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("REPLICAOF", "127.0.0.1", "1")
	expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+"\"}\n", nil,
		"warn  role: a replica")
}

func TestCheckLogin(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--requirepass", "hunter2")
	address := "upstream: {address: \"" + srv.Addr + "\"}\n"
	expectCheck(t, exitFailed, address, nil, "FAIL  upstream: control user cannot log in: NOAUTH Authentication required.; its login is upstream.username and upstream.password")

	srv.MustDo("ACL", "SETUSER", "meek", "on", ">x", "+ping", "+client", "+info")
	stdout := expectCheck(t, exitDone, "upstream: {address: \""+srv.Addr+
		"\", username: meek, password: x}\n", nil,
		"ok    login: the server asks clients for a password",
		"warn  login: the control user meek may not run CONFIG GET: ",
		"warn  login: the control user meek may not run COMMAND: the built-in command table",
		"warn  persistence: no append-only file; snapshots unknown")
	if strings.Contains(stdout, "hunter2") {
		t.Error(stdout)
	}
}

func TestCheckExposedListener(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	expectCheck(t, exitDone, "listeners: [{address: \":6380\"}]\nupstream: {address: \""+
		srv.Addr+"\"}\n", nil,
		"warn  login: the server asks for no password, and other machines can reach the "+
			"listener :6380")
}

func TestCheckUnreachable(t *testing.T) {
	t.Parallel()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	expectCheck(t, exitFailed, fmt.Sprintf("upstream: {address: \"127.0.0.1:%d\"}\n", port), nil,
		"FAIL  upstream: ", "ok    rules: the built-in ones")
}

// A listening socket without an accept is a server that hangs.
func TestCheckSilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expectCheck(t, exitFailed, "upstream: {address: \""+l.Addr().String()+
		"\", connect_timeout: 50ms}\n", nil, "FAIL  upstream: ")
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	file := configFile(t, "workers: 0\n")
	code, stdout, _ := execute(t, "check", "--offline", "--json", "--config", file)
	var got report
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := finding{levelFail, "config", "workers: must be from 1 to 1024, got 0", file, 1, 10}
	if code != exitFailed || got.OK || got.Failures != 1 || len(got.Findings) != 1 ||
		got.Findings[0] != want {
		t.Errorf("%d, %+v; want %+v", code, got, want)
	}
}
