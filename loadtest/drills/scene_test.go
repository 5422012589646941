package drills

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// A scene is one drill on one server: the surroundings of the page's operator.
type scene struct {
	*testing.T
	kind string // of server
	full bool   // make drills: as much data as the page speaks of
	at   *Section

	readme *Section // the README's own incident

	bin     string // has the programs
	dir     string // the operator's working folder: holdfast.yaml, data/journal, backups
	srv     *proxytest.Server
	proxy   *harness.Process
	runs    int // of the proxy
	addr    string
	console string
	http    string
	names   []string // old, new, old, new: the values of the page's names
	said    []string // everything that anybody said, for the messages of the page
	ran     map[string]bool

	commands int
	took     time.Duration
	exact    bool
	told     []string
}

// size is the number of keys of the data set.
func (s *scene) size() int {
	if s.full {
		return 100_000
	}
	return 604 // so that the last commands are of the kinds of the long form
}

// serverArgs let a server attach a journal at once.
var serverArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb"}

// server starts one of the scene's kind.
func (s *scene) server(args ...string) *proxytest.Server {
	s.Helper()
	return proxytest.Spec{Kind: s.kind, Args: append(serverArgs[:len(serverArgs):len(serverArgs)],
		args...)}.Start(s)
}

// begin starts the server and the proxy in front of it, and waits until its journal has begun.
// Settings are YAML: rules, routes, and more keys of the journal.
func (s *scene) begin(srv *proxytest.Server, settings string) {
	s.Helper()
	s.srv = srv
	for _, a := range []*string{&s.addr, &s.console, &s.http} {
		port, err := local.FreePort()
		if err != nil {
			s.Fatal(err)
		}
		*a = fmt.Sprintf("127.0.0.1:%d", port)
	}
	if !strings.Contains("\n"+settings, "\njournal:") {
		settings += "journal: {dir: ./data/journal}\n"
	}
	text := fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: %q, max_backoff: 100ms}\n"+
		"admin: {address: %q, http: %q}\n%s", s.addr, srv.Addr, s.console, s.http, settings)
	s.write("holdfast.yaml", text)
	s.name("-p 6390", "-p "+port(s.console), "127.0.0.1:6380", s.addr, "127.0.0.1:9390", s.http,
		"127.0.0.1:6379", srv.Addr, "-p 6379", "-p "+port(srv.Addr))
	s.Cleanup(func() {
		if s.Failed() {
			s.Log("the proxy's log:\n" + s.log())
		}
	})
	s.start()
	s.recorded()
}

func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func (s *scene) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// start runs the proxy, again.
func (s *scene) start() {
	s.Helper()
	s.runs++
	var err error
	s.proxy, err = harness.Start(s.dir, fmt.Sprintf("proxy-%d", s.runs), s.addr, "env", s.path(), program,
		"serve", "--config", "holdfast.yaml")
	if err != nil {
		s.Fatalf("%v\n%s", err, s.log())
	}
	s.Cleanup(s.proxy.Kill)
	s.await("the proxy answers", func() bool {
		c, err := harness.DialClient(s.addr, replyTimeout)
		if err != nil {
			return false
		}
		defer c.Close()
		v, err := c.Do("PING")
		return err == nil && v == "PONG"
	})
}

// name says what words of the page stand for here, in pairs. Later ones count more.
func (s *scene) name(pairs ...string) { s.names = append(pairs, s.names...) }

// target starts an empty server that the page calls 127.0.0.1:6399.
func (s *scene) target() *proxytest.Server {
	s.Helper()
	dst := s.server()
	s.name("127.0.0.1:6399", dst.Addr)
	return dst
}

// await polls for a condition. If it does not come, the test fails with the proxy's log.
func (s *scene) await(what string, cond func() bool) {
	s.Helper()
	proxytest.Poll(s, what, cond)
}

// log is the proxy's log since the first start.
func (s *scene) log() string {
	var out []byte
	for i := 1; i <= s.runs; i++ {
		text, err := os.ReadFile(filepath.Join(s.dir, fmt.Sprintf("proxy-%d.log", i)))
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, text...)
	}
	return string(out)
}

// ask is one command to the console. Its text counts as said.
func (s *scene) ask(args ...string) string {
	s.Helper()
	c := dial(s, s.console)
	defer c.Close()
	v := must(s, c, args...)
	lines, ok := v.([]any)
	if !ok {
		lines = []any{v}
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&b, l)
	}
	s.heard(b.String())
	return b.String()
}

// show decodes what SHOW prints as JSON.
func (s *scene) show(what string, into any) {
	s.Helper()
	if err := json.Unmarshal([]byte(s.ask("SHOW", what, "JSON")), into); err != nil {
		s.Fatal(what, err)
	}
}

// heard keeps output for the comparison with the page.
func (s *scene) heard(text string) {
	for line := range strings.Lines(text) {
		if line = Shape(line); line != "" {
			s.said = append(s.said, line)
		}
	}
}

// A history is a line of SHOW TIMELINES.
type history struct {
	ID     int    `json:"id"`
	ReplID string `json:"replid"`
	To     int64  `json:"to"`
}

// recorded waits until the journal has everything that the server executed, and a base leads there.
func (s *scene) recorded() {
	s.Helper()
	info := s.srv.Info("replication")
	end, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	s.await("the journal has everything", func() bool {
		var j struct {
			Restorable bool  `json:"restorable"`
			Durable    int64 `json:"durable"`
		}
		var list []history
		s.show("JOURNAL", &j)
		s.show("TIMELINES", &list)
		if len(list) == 0 || !j.Restorable {
			return false
		}
		last := list[len(list)-1]
		return last.ReplID == s.srv.Info("replication")["master_replid"] && j.Durable >= end
	})
}

// marked waits until the server holds a mark that is behind its last write.
func (s *scene) marked() {
	s.Helper()
	id, c := s.srv.Info("replication")["master_replid"], dial(s, s.srv.Addr)
	defer c.Close()
	must(s, c, "SELECT", "15")
	end, until := s.offset(), time.Now().Add(4*time.Second)
	s.await("a mark behind the last write", func() bool {
		if time.Now().After(until) { // a PING came behind the last mark, and brings about none itself
			must(s, c, "SET", ownKeys+"drill", "1")
			must(s, c, "DEL", ownKeys+"drill")
			end, until = s.offset(), time.Now().Add(4*time.Second)
		}
		at, ok := s.markOf(c, id)
		return ok && at >= end
	})
	s.recorded()
}

// markOf reads the mark of a history; c has selected its database.
func (s *scene) markOf(c *harness.Client, id string) (offset int64, ok bool) {
	s.Helper()
	text, _ := must(s, c, "GET", markKey).(string)
	fields := strings.Fields(text) // of the present history, and then of those before
	if len(fields) == 0 || fields[0] != id {
		return 0, false
	}
	offset, err := strconv.ParseInt(fields[1], 10, 64)
	return offset, err == nil
}

func (s *scene) offset() int64 {
	s.Helper()
	n, err := strconv.ParseInt(s.srv.Info("replication")["master_repl_offset"], 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// get is a page of the proxy's HTTP side.
func (s *scene) get(path string) (int, string) {
	s.Helper()
	resp, err := http.Get("http://" + s.http + path)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// path is the PATH of the proxy and of the page's commands, which find their programs there.
func (s *scene) path() string {
	s.Helper()
	if s.bin == "" {
		s.bin = s.programs()
	}
	return "PATH=" + s.bin + ":" + os.Getenv("PATH")
}

// programs makes a folder with them.
func (s *scene) programs() string {
	s.Helper()
	dir := s.TempDir()
	server := proxytest.Find(s, s.kind).Path
	cli := strings.TrimSuffix(server, "-server") + "-cli"
	if _, err := os.Stat(cli); err != nil {
		if cli, err = exec.LookPath("redis-cli"); err != nil {
			s.Fatalf("no client beside %s, and no redis-cli", server)
		}
	}
	for name, path := range map[string]string{"proxy": program, "redis-cli": cli,
		filepath.Base(server): server} { // the programs may be scripts that ask where they are
		text := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", path)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			s.Fatal(err)
		}
	}
	return dir
}
