package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// A process is a proxy that runs.
type process struct {
	t       *testing.T
	program program
	cmd     *exec.Cmd
	file    string // its configuration
	flags   []string
	addr    string // where it serves
	console string
	http    string
	log     proxytest.Log
	exited  chan struct{} // closed when it has ended
	client  *redis.Client
}

// startProxy runs the proxy in front of srv; more is added to its configuration. It ends with the
// test.
func startProxy(t *testing.T, srv *proxytest.Server, more string) *process {
	t.Helper()
	return startProxyAt(t, srv.Addr, more)
}

// startChecked is startProxy for tests of what serve itself does at the same time: signals, reloads,
// drains. The race detector sees it.
func startChecked(t *testing.T, srv *proxytest.Server, more string) *process {
	t.Helper()
	p := newProcess(t, checked, srv.Addr, more)
	p.start()
	p.awaitAnswer()
	return p
}

// startProxyAt is startProxy in front of an address.
func startProxyAt(t *testing.T, upstream, more string) *process {
	t.Helper()
	p := newProcess(t, plain, upstream, more)
	p.start()
	p.awaitAnswer()
	return p
}

// newProcess is a proxy that does not run yet.
func newProcess(t *testing.T, program program, upstream, more string) *process {
	t.Helper()
	p := &process{t: t, program: program, addr: freeAddr(t), console: freeAddr(t), http: freeAddr(t)}
	p.file = configFile(t, p.configAt(upstream, more))
	return p
}

func (p *process) awaitAnswer() {
	p.t.Helper()
	proxytest.Poll(p.t, "the proxy answers", func() bool { return p.do("PING") == nil })
}

// start runs the proxy by its file.
func (p *process) start() {
	p.t.Helper()
	p.exited = make(chan struct{})
	p.cmd = p.program.command(p.t, append([]string{"serve", "--config", p.file}, p.flags...)...)
	p.cmd.Stderr = &p.log
	p.run()
}

// run starts cmd.
func (p *process) run() {
	t := p.t
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.wait()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("the proxy's log:\n%s", p.log.String())
		}
	})
	p.client = proxytest.NewClient("tcp", p.addr, "")
	t.Cleanup(func() { p.client.Close() })
}

// wait makes exited known. Joined by the test's cleanup.
func (p *process) wait() {
	_ = p.cmd.Wait()
	close(p.exited)
}

func (p *process) config(srv *proxytest.Server, more string) string {
	return p.configAt(srv.Addr, more)
}

func (p *process) configAt(upstream, more string) string {
	return fmt.Sprintf("listeners: [{address: %q}]\nupstream: {address: %q}\n"+
		"admin: {address: %q, http: %q}\n%s", p.addr, upstream, p.console, p.http, more)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := local.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func (p *process) do(args ...any) error {
	return p.client.Do(context.Background(), args...).Err()
}

// rewrite puts another text into the configuration file.
func (p *process) rewrite(text string) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// hangup sends SIGHUP and waits until the log has another line that contains word.
func (p *process) hangup(word string) {
	p.t.Helper()
	before := strings.Count(p.log.String(), word)
	p.signal(syscall.SIGHUP)
	proxytest.Poll(p.t, "the log says "+word, func() bool {
		return strings.Count(p.log.String(), word) > before
	})
}

// awaitInFlight waits until a command has no answer yet.
func (p *process) awaitInFlight() {
	p.t.Helper()
	console := proxytest.NewClient("tcp", p.console, "")
	defer console.Close()
	proxytest.Poll(p.t, "a command is in flight", func() bool {
		stats, err := console.Do(context.Background(), "SHOW", "STATS", "JSON").Text()
		return err == nil && !strings.Contains(strings.ReplaceAll(stats, " ", ""),
			`"outstanding":0`)
	})
}

// expectExit waits until the process has ended and requires its exit code.
func (p *process) expectExit(code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(proxytest.PollTimeout):
		p.t.Fatal("the proxy does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d", got, code)
	}
}

const denied = "DENIED 'flushall' is refused by rule "

func TestServe(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		t.Parallel()
		p := startChecked(t, srv, "")
		if err := p.do("SET", "k", "v"); err != nil {
			t.Error(err)
		}
		if err := p.do("FLUSHALL"); err == nil ||
			!strings.HasPrefix(err.Error(), denied+"'default'") {
			t.Errorf("FLUSHALL: %v", err)
		}
		if got := srv.MustDo("GET", "k"); got != "v" {
			t.Errorf("the key is %v", got)
		}
		resp, err := http.Get("http://" + p.http + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("/readyz: %s", resp.Status)
		}
		p.signal(syscall.SIGTERM)
		p.expectExit(exitDone)
	})
}

// An unsuitable server is reported at the start: the proxy's first look is also its last as long as
// nothing changes.
func TestServeTellsOfTroubleWithTheUpstream(t *testing.T) {
	t.Parallel()
	primary := proxytest.StartServer(t)
	for what, row := range map[string]struct {
		args []string
		want string
		code int
	}{
		"a replica": {[]string{"--replicaof", strings.Replace(primary.Addr, ":", " ", 1)},
			"it is a replica", http.StatusServiceUnavailable},
		"a cluster node": {[]string{"--cluster-enabled", "yes"}, "it is part of a cluster",
			http.StatusServiceUnavailable},
		"a wrong password": {[]string{"--requirepass", "secret"}, "control user cannot log in",
			http.StatusOK},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Args: row.args}.Start(t)
			p := newProcess(t, checked, srv.Addr, "")
			p.start()
			proxytest.Poll(t, "the log says "+row.want, func() bool {
				return strings.Contains(p.log.String(), row.want)
			})
			proxytest.Poll(t, "/readyz says "+row.want, func() bool {
				resp, err := http.Get("http://" + p.http + "/readyz")
				if err != nil {
					return false
				}
				defer resp.Body.Close()
				text, _ := io.ReadAll(resp.Body)
				return resp.StatusCode == row.code && strings.Contains(string(text), row.want)
			})
		})
	}
}

// What only the server's own command table shows has its place in the file, too, at the start and
// in a reload.
func TestServeNamesThePlaceOfAnUnknownCommand(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	bad := "rules: [{name: a, commands: [flushal], action: deny}]\n"
	p := startChecked(t, srv, "")
	p.rewrite(p.config(srv, bad))
	p.hangup("not reloaded")
	place := p.file + `:4:30: rules[0].commands[0]: rule \"a\": unknown command`
	if !strings.Contains(p.log.String(), place) {
		t.Errorf("the log of the reload does not say %s", place)
	}

	file := newProcess(t, checked, srv.Addr, bad).file
	code, _, stderr := execute(t, "serve", "--config", file)
	if want := file + ":4:30: rules[0].commands[0]"; code != exitFailed ||
		!strings.Contains(stderr, want) {
		t.Errorf("exit code %d, printed %s; want %s", code, stderr, want)
	}
}

func TestReloadOnHangup(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "rules: []\n")
	if err := p.do("FLUSHALL"); err != nil {
		t.Fatalf("without rules: %v", err)
	}

	p.rewrite(p.config(srv, "rules: [{name: mine, commands: [flushall], action: deny}]\n"))
	p.hangup("msg=reloaded")
	if err := p.do("FLUSHALL"); err == nil || !strings.HasPrefix(err.Error(), denied+"'mine'") {
		t.Errorf("after the reload: %v", err)
	}

	// A bad file changes nothing and says where it is bad.
	p.rewrite(p.config(srv, "rules: []\nuptream: {}\n"))
	p.hangup("not reloaded")
	if want := `:5:1: unknown key`; !strings.Contains(p.log.String(), want) {
		t.Errorf("the log does not say %q", want)
	}
	if err := p.do("FLUSHALL"); err == nil || !strings.HasPrefix(err.Error(), denied+"'mine'") {
		t.Errorf("after the bad reload: %v", err)
	}

	// What cannot change is named; the rest changes.
	text := p.config(srv, "workers: 2\nrules: []\n")
	p.rewrite(strings.Replace(text, p.addr, "127.0.0.1:1", 1))
	p.hangup("msg=reloaded")
	if err := p.do("FLUSHALL"); err != nil {
		t.Errorf("after the third reload: %v", err)
	}
	for _, want := range []string{"setting=listeners", "setting=workers"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if got := p.settings(); got["workers"] != "1" || got["listeners[0].address"] != p.addr {
		t.Errorf("what is in force: workers %s, listener %s", got["workers"],
			got["listeners[0].address"])
	}
}

// settings is what SHOW CONFIG shows.
func (p *process) settings() map[string]string {
	p.t.Helper()
	console := proxytest.NewClient("tcp", p.console, "")
	defer console.Close()
	text, err := console.Do(context.Background(), "SHOW", "CONFIG", "JSON").Text()
	if err != nil {
		p.t.Fatal(err)
	}
	var list []struct{ Key, Value string }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		p.t.Fatalf("%v in %s", err, text)
	}
	m := map[string]string{}
	for _, s := range list {
		m[s.Key] = s.Value
	}
	return m
}

func TestReloadChangesTheLog(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "log: {level: debug}\n")
	p.rewrite(p.config(srv, "log: {format: json}\n"))
	p.hangup(`"msg":"reloaded"`)
	p.rewrite(p.config(srv, "log: {level: error, format: json}\n"))
	p.signal(syscall.SIGHUP)
	proxytest.Poll(t, "the new level is in force", func() bool {
		return p.settings()["log.level"] == "error"
	})

	// A reload that fails for another reason than the file leaves the log as it was, too.
	bad := strings.Replace(p.config(srv, "log: {level: debug}\n"), srv.Addr, freeAddr(t), 1)
	p.rewrite(bad)
	p.hangup(`"msg":"not reloaded`)
	if got := p.settings(); got["log.format"] != "json" || got["upstream.address"] != srv.Addr {
		t.Errorf("what is in force: format %s, upstream %s", got["log.format"],
			got["upstream.address"])
	}
	before := len(p.log.String())
	p.rewrite(p.config(srv, "log: {level: error, format: json}\nrules: []\n"))
	p.signal(syscall.SIGHUP)
	proxytest.Poll(t, "the reload is done", func() bool { return p.do("FLUSHALL") == nil })
	if more := p.log.String()[before:]; more != "" {
		t.Errorf("at level error the log says: %s", more)
	}
}

func TestConsoleReloadsAndDrains(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	console := proxytest.NewClient("tcp", p.console, "")
	defer console.Close()
	p.rewrite(p.config(srv, "rules: []\n"))
	if err := console.Do(t.Context(), "RELOAD").Err(); err != nil {
		t.Fatal(err)
	}
	if err := p.do("FLUSHALL"); err != nil {
		t.Errorf("after RELOAD: %v", err)
	}
	config, err := console.Do(t.Context(), "SHOW", "CONFIG").Result()
	if err != nil || !strings.Contains(fmt.Sprint(config), srv.Addr) {
		t.Errorf("SHOW CONFIG: %v, %v", config, err)
	}
	if err := console.Do(t.Context(), "DRAIN").Err(); err != nil {
		t.Errorf("DRAIN: %v", err)
	}
	p.expectExit(exitDone)
}

// SIGTERM lets a command in flight finish; the server is held still meanwhile.
func TestTerminateDrains(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	srv.Pause()
	answer := make(chan error, 1)
	go func() { answer <- p.do("SET", "k", "v") }()
	p.awaitInFlight()
	p.signal(syscall.SIGTERM)
	proxytest.Poll(t, "the drain begins", func() bool {
		return strings.Contains(p.log.String(), "msg=draining")
	})
	srv.Resume()
	if err := <-answer; err != nil {
		t.Errorf("the command in flight: %v", err)
	}
	p.expectExit(exitDone)
}

// What never finishes is given up after the drain time.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "drain: 50ms\n")
	srv.Pause()
	defer srv.Resume()
	answer := make(chan error, 1)
	go func() { answer <- p.do("SET", "k", "v") }()
	p.awaitInFlight()
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
	if err := <-answer; err == nil {
		t.Error("the command was answered, and the server stands still")
	}
}

// The sender of a second signal does not want to wait for the drain.
func TestSecondSignalEnds(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "drain: 1h\n")
	srv.Pause()
	defer srv.Resume()
	answer := make(chan error, 1)
	go func() { answer <- p.do("SET", "k", "v") }()
	p.awaitInFlight()
	p.signal(syscall.SIGTERM)
	proxytest.Poll(t, "the drain begins", func() bool {
		return strings.Contains(p.log.String(), "msg=draining")
	})
	proxytest.Poll(t, "a second signal ends it", func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	})
	if err := <-answer; err == nil {
		t.Error("the command in flight was answered")
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	for name, tc := range map[string]struct{ text, want string }{
		"bad file": {"workers: 0\n", ":1:10: workers: must be from 1 to 1024"},
		"bad rule": {"rules:\n- {name: a, commands: [\"@x*\"], action: deny}\n",
			`:2:24: rules[0].commands[0]: rule "a": `},
		"taken listener": {p.config(srv, ""), "address already in use"},
	} {
		cmd := plain.command(t, "serve", "--config", configFile(t, tc.text))
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != exitFailed ||
			!strings.Contains(string(out), tc.want) {
			t.Errorf("%s: %v\n%s\nwant %q", name, err, out, tc.want)
		}
	}
}
