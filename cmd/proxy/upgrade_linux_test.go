package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/takeover"
)

// upgradeClients come and go while proxies are replaced: each connects, writes a few keys, and disconnects.
type upgradeClients struct {
	t     *testing.T
	addrs []string
	stop  chan struct{}
	done  sync.WaitGroup

	mu      sync.Mutex
	acked   []string     // keys whose write was answered OK
	wrong   []string     // what must not happen
	ended   atomic.Int64 // connections that the proxy has ended between two commands
	reached atomic.Int64 // writes so far
}

// upgradeWrites is the number of writes of one connection.
const upgradeWrites = 20

func startUpgradeClients(t *testing.T, each int, addrs ...string) *upgradeClients {
	c := &upgradeClients{t: t, addrs: addrs, stop: make(chan struct{})}
	for i := range each * len(addrs) {
		c.done.Go(func() { c.run(i) })
	}
	t.Cleanup(c.end)
	return c
}

// end stops the clients.
func (c *upgradeClients) end() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.done.Wait()
}

func (c *upgradeClients) stopped() bool {
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}

// run is one client: half of them write on the durable route.
func (c *upgradeClients) run(i int) {
	for n := 0; !c.stopped(); {
		network, addr := eventloop.SplitAddress(c.addrs[i%len(c.addrs)])
		conn, err := net.Dial(network, addr)
		if err != nil {
			c.complain("connect: %v", err)
			return
		}
		n = c.converse(conn, i, n)
		conn.Close()
	}
}

// converse is one connection; n counts the client's writes.
func (c *upgradeClients) converse(conn net.Conn, i, n int) int {
	in := bufio.NewReader(conn)
	for range upgradeWrites {
		key := fmt.Sprintf("%s:%d:%d", []string{"pay", "plain"}[i/len(c.addrs)%2], i, n)
		n++
		fmt.Fprintf(conn, "SET %s %s\r\n", key, key) // an error shows below
		_ = conn.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
		v, err := in.ReadString('\n')
		switch {
		case err != nil:
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.complain("%s: %v", key, err)
			}
			c.ended.Add(1)
			return n
		case v != "+OK\r\n":
			c.complain("%s: %v", key, v)
		default:
			c.mu.Lock()
			c.acked = append(c.acked, key)
			c.mu.Unlock()
			c.reached.Add(1)
		}
		if c.stopped() {
			return n
		}
	}
	return n
}

func (c *upgradeClients) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

// progress waits until every client could write several times more.
func (c *upgradeClients) progress() {
	c.t.Helper()
	goal := c.reached.Load() + 500
	proxytest.Poll(c.t, "the clients go on", func() bool { return c.reached.Load() > goal })
}

// expectAll checks what the clients have met, once they have ended.
func (c *upgradeClients) expectAll(srv *proxytest.Server) {
	c.t.Helper()
	for _, w := range c.wrong {
		c.t.Error(w)
	}
	if c.ended.Load() == 0 {
		c.t.Error("no connection was ended: the processes have not changed")
	}
	for _, key := range c.acked {
		if v := srv.MustDo("GET", key); v != key {
			c.t.Errorf("%s was acknowledged and is %v", key, v)
		}
	}
	c.t.Logf("%d writes acknowledged, %d connections ended", len(c.acked), c.ended.Load())
}

// upgradeConfig has a journal, a route that waits for it, and a unix socket.
func upgradeConfig(dir, listeners, upstream string) string {
	return fmt.Sprintf("listeners: [%s]\nupstream: {address: %q}\nadmin: {address: %q, http: %q}\n"+
		"journal: {dir: %q}\nroutes:\n- {name: pay, keys: [\"pay:*\"], ack: {journal: true}, timeout: 60s}\n",
		listeners, upstream, "unix:"+dir+"/console", "unix:"+dir+"/http", dir+"/journal")
}

// TestUpgrade replaces the proxy under load, by hand and by SIGUSR2. No connection is refused, no write answered
// OK is lost, none of the writes is refused, and the journal is one history without a gap.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	dir := proxytest.ShortDir(t)
	p := newProcess(t, checked, srv.Addr, "")
	unix := "unix:" + dir + "/clients"
	p.rewrite(upgradeConfig(dir, fmt.Sprintf("{address: %q}, {address: %q}", p.addr, unix), srv.Addr))
	p.start()
	p.awaitAnswer()
	clients := startUpgradeClients(t, 4, p.addr, unix)
	clients.progress()
	for range 2 {
		next := p.takeOver()
		p.expectExit(exitDone)
		p = next
		clients.progress()
	}
	p.upgradeBySignal(func() {
		clients.progress()
		clients.end()
	})
	clients.expectAll(srv)
	expectOneHistory(t, dir+"/journal")
}

// takeOver starts the next process beside p, and waits until it serves.
func (p *process) takeOver(flags ...string) *process {
	p.t.Helper()
	next := p.next(flags...)
	next.start()
	proxytest.Poll(p.t, "the next process has taken over", func() bool {
		return strings.Contains(next.log.String(), "msg=\"taken over\"")
	})
	return next
}

// next is a process that does not run yet, with p's configuration.
func (p *process) next(flags ...string) *process {
	return &process{t: p.t, program: p.program, addr: p.addr, console: p.console, http: p.http, file: p.file,
		flags: append([]string{"--takeover"}, flags...)}
}

var nextPID = regexp.MustCompile(`the next process is started" program=\S+ pid=(\d+)`)

// upgradeBySignal has p start its successor, which ends after while has returned. p ends.
func (p *process) upgradeBySignal(while func()) {
	p.t.Helper()
	p.signal(syscall.SIGUSR2)
	var pid int
	proxytest.Poll(p.t, "the next process is started", func() bool {
		m := nextPID.FindStringSubmatch(p.log.String())
		if m != nil {
			pid, _ = strconv.Atoi(m[1])
		}
		return m != nil
	})
	// The next process writes to p's log, too, which keeps p.cmd waiting.
	proxytest.Poll(p.t, "the next process has taken over", func() bool {
		return strings.Contains(p.log.String(), fmt.Sprintf("msg=\"handed over\" pid=%d", pid))
	})
	while()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.t.Error(err)
	}
	p.expectExit(exitDone)
}

// expectOneHistory checks a journal's folder: sound, of one timeline, from a snapshot on without a gap.
func expectOneHistory(t *testing.T, dir string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"journal", "verify", "--dir", dir}, &out, &errs); err != nil {
		t.Errorf("journal verify: %v\n%s%s", err, &out, &errs)
	}
	out.Reset()
	if err := run(t.Context(), []string{"journal", "ls", "--json", "--dir", dir}, &out, &errs); err != nil {
		t.Fatalf("journal ls: %v\n%s", err, &errs)
	}
	var ls struct {
		Timelines, Gaps, Incidents []any
		Segments                   []struct {
			Ranges []struct{ Timeline, From, To int64 }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &ls); err != nil {
		t.Fatal(err)
	}
	if len(ls.Timelines) != 1 || len(ls.Gaps) > 0 || len(ls.Incidents) > 0 || len(ls.Segments) < 3 {
		t.Fatalf("it is not one history in several segments:\n%s", &out)
	}
	at := int64(0)
	for _, s := range ls.Segments {
		for _, r := range s.Ranges {
			if r.From != at {
				t.Errorf("the journal has a gap from %d to %d", at, r.From)
			}
			at = r.To
		}
	}
}

// A new process that cannot serve leaves the old one as it was.
func TestUpgradeIsRefused(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	other := startChecked(t, srv, "")
	for name, row := range map[string]struct{ config, want string }{
		"a bad file": {p.config(srv, "nonsense: 1\n"), "nonsense"},
		"no server":  {p.configAt(freeAddr(t), ""), "nothing was taken over: upstream"},
		"an address of another's": {strings.Replace(p.config(srv, ""), p.addr, other.addr, 1),
			"address already in use"},
	} {
		before := p.log.String()
		p.rewrite(row.config)
		next := p.next()
		next.start()
		next.expectExit(exitFailed)
		if !strings.Contains(next.log.String(), row.want) {
			t.Errorf("%s: it says\n%s", name, next.log.String())
		}
		if err := p.do("PING"); err != nil {
			t.Errorf("%s: the old one: %v", name, err)
		}
		if strings.Contains(strings.TrimPrefix(p.log.String(), before), "draining") {
			t.Errorf("%s: the old one has drained", name)
		}
	}
}

// A second process without --takeover never disturbs the first.
func TestSecondServeFails(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := startChecked(t, srv, "")
	next := p.next()
	next.flags = nil
	next.start()
	next.expectExit(exitFailed)
	if err := p.do("PING"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(next.log.String(), "--takeover") {
		t.Errorf("it does not say how:\n%s", next.log.String())
	}
}

// A process that took over and ends before it serves leaves the old one to serve again, on the same sockets and with
// the journal. Clients that came meanwhile are served.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	dir := proxytest.ShortDir(t)
	p := newProcess(t, checked, srv.Addr, "")
	unix := dir + "/clients"
	p.rewrite(upgradeConfig(dir, fmt.Sprintf("{address: %q}, {address: %q}", p.addr, "unix:"+unix), srv.Addr))
	p.start()
	p.awaitAnswer()
	clients := startUpgradeClients(t, 2, p.addr, "unix:"+unix)
	for range 2 {
		clients.progress()
		claim := p.takenOver(p.addr)
		claim.Close()
	}
	clients.progress()
	clients.end()
	clients.expectAll(srv)
	expectOneHistory(t, dir+"/journal")
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
	if _, err := os.Stat(unix); err == nil {
		t.Error("the file of the unix socket outlives its process")
	}
}

// A process that serves again does so whatever the file is now, which may be for the version of the one that failed, and
// waits for the journal that this one still has open.
func TestUpgradeFailsSlowly(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	dir := proxytest.ShortDir(t)
	p := newProcess(t, checked, srv.Addr, "")
	config := upgradeConfig(dir, fmt.Sprintf("{address: %q}", p.addr), srv.Addr)
	p.rewrite(config)
	p.start()
	p.awaitAnswer()
	p.rewrite(config + "drain: 7s\n")
	p.signal(syscall.SIGHUP)
	proxytest.Poll(t, "it is reloaded", func() bool { return strings.Contains(p.log.String(), "msg=reloaded") })
	p.rewrite("nonsense: 1\n")
	p.holdJournal(dir + "/journal")()
	p.awaitAnswer()
	expectOneHistory(t, dir+"/journal")
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
	if n := strings.Count(p.log.String(), "limit=7s"); n != 2 {
		t.Errorf("the configuration in force has drained %d times, want 2", n)
	}
}

// SIGTERM ends a process that waits to serve again.
func TestUpgradeFailsAndSIGTERM(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	dir := proxytest.ShortDir(t)
	p := newProcess(t, checked, srv.Addr, "")
	p.rewrite(upgradeConfig(dir, fmt.Sprintf("{address: %q}", p.addr), srv.Addr))
	p.start()
	p.awaitAnswer()
	defer p.holdJournal(dir + "/journal")()
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
}

// A SIGHUP that the old process gets while another one takes over, or shortly before, reaches that one: it has read the file
// already. An old process that serves again reads the file in any case.
func TestHangupDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		p := startChecked(t, proxytest.StartServer(t), "")
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		if early {
			p.hangup("msg=reloaded")
		}
		claim := p.takenOver(p.addr)
		if !early {
			p.signal(syscall.SIGHUP)
		}
		select {
		case <-hangups:
		case <-time.After(proxytest.PollTimeout):
			t.Fatalf("early %v: the SIGHUP is lost", early)
		}
		proxytest.Poll(t, "the old process says so", func() bool {
			return strings.Contains(p.log.String(), fmt.Sprintf("SIGHUP is handed on to the process that takes over\" pid=%d", os.Getpid()))
		})
		if strings.Contains(p.log.String(), "not reloaded") {
			t.Errorf("early %v: the old process tried by itself", early)
		}
		claim.Close()
		p.awaitAnswer()
		p.hangup("msg=reloaded") // it is this process's again
	}
}

// Both processes of a takeover leave a line in the audit log, and a count; so does an attempt.
func TestUpgradeIsAudited(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	p := newProcess(t, checked, srv.Addr, "")
	log := filepath.Join(filepath.Dir(p.file), "audit.log")
	config := p.config(srv, fmt.Sprintf("audit: {file: %q}\n", log))
	p.rewrite(config)
	p.start()
	p.awaitAnswer()
	p.rewrite("nonsense: 1\n")
	p.signal(syscall.SIGUSR2)
	awaitAudited(t, log, `"operator":"process `, `does not serve, and this one goes on: exit status `)
	p.awaitMetric(`holdfast_takeovers_total{outcome="failed",side="old"} 1`)
	p.rewrite(config)
	claim := p.takenOver(p.addr)
	proxytest.Poll(t, "the old process has left the server: only the outcome is missing", func() bool {
		return !strings.Contains(fmt.Sprint(srv.MustDo("CLIENT", "LIST")), "name=holdfast")
	})
	claim.Close()
	awaitAudited(t, log, fmt.Sprintf("process %d does not serve, and this one goes on: takeover: the other process has gone", os.Getpid()))
	p.awaitAnswer()
	p.awaitMetric(`holdfast_takeovers_total{outcome="failed",side="old"} 2`)
	next := p.takeOver()
	p.expectExit(exitDone)
	awaitAudited(t, log, fmt.Sprintf(`"result":"handed over to process %d"`, next.cmd.Process.Pid))
	awaitAudited(t, log, fmt.Sprintf(`"result":"taken over from process %d"`, p.cmd.Process.Pid))
	next.awaitMetric(`holdfast_takeovers_total{outcome="done",side="new"} 1`)
	other := newProcess(t, checked, srv.Addr, "")
	other.start()
	other.awaitAnswer()
	next.rewrite(strings.Replace(config, p.addr, other.addr, 1))
	third := next.next()
	third.start()
	third.expectExit(exitFailed)
	awaitAudited(t, log, fmt.Sprintf("nothing was taken over from process %d: listen on %s", next.cmd.Process.Pid, other.addr))
	next.awaitMetric(`holdfast_takeovers_total{outcome="failed",side="old"} 1`)
}

// awaitAudited waits for a line of a takeover that contains all words.
func awaitAudited(t *testing.T, file string, words ...string) {
	t.Helper()
	proxytest.Poll(t, fmt.Sprintf("the audit log has %q", words), func() bool {
		data, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(data)) {
			all := strings.Contains(line, `"verdict":"takeover"`)
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return true
			}
		}
		return false
	})
}

// awaitMetric waits for a line of /metrics.
func (p *process) awaitMetric(line string) {
	p.t.Helper()
	proxytest.Poll(p.t, line, func() bool {
		resp, err := http.Get("http://" + p.http + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(text), line)
	})
}

// takenOver takes over from p, with these addresses, and does not serve.
func (p *process) takenOver(addresses ...string) *takeover.Claim {
	p.t.Helper()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // p hands its own on to this process
	claim := takeover.NewClaim(takeover.ClaimOptions{Name: takeover.Name(p.file), Sockets: &takeover.Sockets{},
		Log: slog.New(slog.DiscardHandler)})
	if found, err := claim.Find(); !found || err != nil {
		p.t.Fatalf("found %v, %v", found, err)
	}
	if err := claim.Take(p.t.Context(), addresses); err != nil {
		p.t.Fatal(err)
	}
	return claim
}

// holdJournal takes over from p, opens its journal, and gives up, so that p waits for the journal until it is released.
func (p *process) holdJournal(dir string) (release func()) {
	t := p.t
	t.Helper()
	claim := p.takenOver(p.addr)
	j, err := journal.Open(journal.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	claim.Close()
	proxytest.Poll(t, "it waits for the journal", func() bool {
		return strings.Contains(p.log.String(), "waiting for the other process to close the journal")
	})
	return func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

// SIGTERM ends a process whose successor does not serve yet.
func TestUpgradeAndSIGTERM(t *testing.T) {
	t.Parallel()
	p := startChecked(t, proxytest.StartServer(t), "")
	claim := p.takenOver()
	defer claim.Close()
	p.signal(syscall.SIGTERM)
	p.expectExit(exitDone)
	if err := claim.Confirm(t.Context()); err != nil {
		t.Errorf("the sockets are this process's alone: %v", err)
	}
}

// The service manager hears from the old process who the new one is, and from then on from the new one. WATCHDOG_PID
// names the old one, and the new one gives signs of life all the same.
func TestUpgradeUnderAServiceManager(t *testing.T) {
	await := serviceManager(t)
	p := startChecked(t, proxytest.StartServer(t), "")
	await("READY=1", "STOPPING=1")
	p.signal(syscall.SIGUSR2)
	pid, err := strconv.Atoi(await("MAINPID=", "STOPPING=1"))
	if err != nil || pid == p.cmd.Process.Pid {
		t.Fatalf("MAINPID=%d, %v", pid, err)
	}
	await("READY=1", "STOPPING=1")
	await("WATCHDOG=1", "STOPPING=1")
	await("WATCHDOG=1", "STOPPING=1")
	if err := p.do("PING"); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	await("STOPPING=1", "READY=1")
	p.expectExit(exitDone)
}

// What names this process is not for the next one.
func TestNextEnvironment(t *testing.T) {
	got := nextEnv([]string{"A=1", "WATCHDOG_PID=7", "WATCHDOG_USEC=5", "LISTEN_FDS=2", "NOTIFY_SOCKET=s"})
	if want := []string{"A=1", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=s"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
