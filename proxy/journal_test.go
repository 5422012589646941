package proxy_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/journal/tap"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/recorder"
	"holdfast/proxy/upstream"
)

// withJournal keeps one in dir.
func withJournal(dir string) func(*proxy.Options) {
	return func(o *proxy.Options) { o.Journal.Dir = dir }
}

var journalArgs = []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb"}

// journalServer is a server whose journal is attached at once.
func journalServer(t testing.TB) *proxytest.Server {
	return proxytest.StartServer(t, journalArgs...)
}

// recorded waits until the journal holds everything that the server has executed so far.
func recorded(t testing.TB, srv *proxy.Served, server *proxytest.Server) *admin.Journal {
	t.Helper()
	var j *admin.Journal
	proxytest.Poll(t, "the journal has everything", func() bool {
		end, err := strconv.ParseInt(server.Info("replication")["master_repl_offset"], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if j, err = srv.Journal(context.Background()); err != nil {
			t.Fatal(err)
		}
		return j.Attached == string(tap.Streaming) && j.Restorable && j.Durable >= end
	})
	return j
}

func TestJournalFollowsTheServer(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	addr, srv := serveServer(t, server.Addr, withJournal(dir))
	c := dial(t, addr)
	recorded(t, srv, server)
	c.do("SET a 1")
	j := recorded(t, srv, server)
	if j.Timeline != 1 || j.Bases != 1 || j.State != "ok" || j.Fsyncs == 0 {
		t.Errorf("%+v", j)
	}
	b, err := srv.TakeBase(context.Background())
	if err != nil || b.Timeline != 1 || b.Offset < j.Durable || b.Size == 0 {
		t.Errorf("TakeBase: %+v, %v", b, err)
	}
	lines, err := srv.Timelines(context.Background())
	if err != nil || len(lines) != 1 || lines[0].ReplID != server.Info("replication")["master_replid"] {
		t.Errorf("Timelines: %+v, %v", lines, err)
	}
	snap, err := srv.Snapshot(context.Background())
	if err != nil || snap.Journal == nil || snap.Journal.Journal.Bases != 2 ||
		snap.Journal.Tap.State != tap.Streaming {
		t.Errorf("Snapshot: %+v, %v", snap.Journal, err)
	}
	if got := append(srv.NotReady(), srv.Degraded()...); len(got) > 0 {
		t.Errorf("in trouble: %q", got)
	}
}

// TestWaitCountsTheJournal: as docs/clients.md says, a client's WAIT counts the journal as a replica.
func TestWaitCountsTheJournal(t *testing.T) {
	t.Parallel()
	server := journalServer(t)
	addr, srv := serveServer(t, server.Addr, withJournal(t.TempDir()))
	recorded(t, srv, server)
	c := dial(t, addr)
	c.do("SET k 1")
	if got := c.do("WAIT 1 10000"); got != ":1\r\n" {
		t.Errorf("WAIT with a journal and no replica: %q", got)
	}
}

func TestNoJournal(t *testing.T) {
	t.Parallel()
	_, srv := serveServer(t, proxytest.StartServer(t).Addr)
	ctx := context.Background()
	_, e1 := srv.Journal(ctx)
	_, e2 := srv.Timelines(ctx)
	_, e3 := srv.Incidents(ctx)
	_, e4 := srv.TakeBase(ctx)
	for i, err := range []error{e1, e2, e3, e4, srv.AcknowledgeIncidents(ctx)} {
		if err != admin.ErrNoJournal {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A restart continues at the journal's offset: one timeline, one base.
func TestJournalContinuesAfterARestart(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	for round := range 3 {
		o := proxy.Options{
			Listeners: []proxy.Listener{{Address: "127.0.0.1:0"}},
			Upstream:  upstream.Options{Address: server.Addr},
			Journal:   recorder.Options{Dir: dir, Segment: smallSegment}, Logger: testLog(t),
		}
		srv, err := proxy.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx) }()
		proxytest.Poll(t, "the proxy listens", func() bool { return len(srv.Addrs()) > 0 })
		server.MustDo("SET", "round", round)
		j := recorded(t, proxy.Serving(srv), server)
		if j.Timeline != 1 || j.Bases != 1 || j.Gaps != 0 || round > 0 && j.FullResyncs != 0 {
			t.Errorf("round %d: %+v", round, j)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		server.MustDo("SET", "between", round)
	}
}

// A second proxy on the same folder does not start.
func TestJournalIsLocked(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	serve(t, server.Addr, withJournal(dir))
	srv, err := proxy.New(proxy.Options{Upstream: upstream.Options{Address: server.Addr},
		Journal: recorder.Options{Dir: dir, Segment: smallSegment}, Logger: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	err = srv.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "pid ") ||
		!strings.Contains(err.Error(), "give this one a journal.dir of its own") {
		t.Errorf("Run: %v", err)
	}
}

// The journal is beside the data path: a server without replication rights for the proxy's user is
// served all the same, and readiness says what is missing.
func TestJournalRefused(t *testing.T) {
	t.Parallel()
	server := journalServer(t)
	server.MustDo("ACL", "SETUSER", "meek", "on", ">x", "+@all", "-psync", "~*", "&*")
	for _, required := range []bool{false, true} {
		addr, srv := serveServer(t, server.Addr, withJournal(t.TempDir()), func(o *proxy.Options) {
			o.Upstream.Username, o.Upstream.Password = "meek", "x"
			o.Journal.Required = required
		})
		if got := dial(t, addr).do("PING"); got != "+PONG\r\n" {
			t.Errorf("PING: %q", got)
		}
		proxytest.Poll(t, "readiness names the refusal", func() bool {
			not, degraded := srv.NotReady(), srv.Degraded()
			if required == (len(degraded) > 0) || required != (len(not) > 0) {
				t.Errorf("required %t: not ready %q, degraded %q", required, not, degraded)
			}
			all := append(not, degraded...)
			return len(all) == 1 && strings.Contains(all[0], "journal: does not follow") &&
				strings.Contains(all[0], "NOPERM")
		})
	}
}

// A reload changes how the journal is kept without losing a byte; its folder stays.
func TestJournalReload(t *testing.T) {
	t.Parallel()
	server, dir := journalServer(t), t.TempDir()
	server.MustDo("ACL", "SETUSER", "other", "on", ">x", "+@all", "~*", "&*")
	next := proxy.Options{}
	_, srv := serveServer(t, server.Addr, withJournal(dir), func(o *proxy.Options) {
		next = *o
		next.Upstream.Username, next.Upstream.Password = "other", "x"
		next.Journal = recorder.Options{Dir: t.TempDir(), FACK: true, Required: true,
			Base:      tap.BasePolicy{Every: time.Hour},
			Retention: journal.Retention{Age: time.Hour}}
		o.LoadOptions = func() (proxy.Options, error) { return next, nil }
	})
	recorded(t, srv, server)
	warnings, err := srv.Reload(context.Background())
	if err != nil || len(warnings) != 1 || warnings[0] != "journal.dir" {
		t.Fatalf("Reload: %v, %v", warnings, err)
	}
	server.MustDo("SET", "a", 1)
	j := recorded(t, srv, server)
	if j.Dir != dir || !j.Required || j.Timeline != 1 || j.Continues != 1 || j.FullResyncs != 0 {
		t.Errorf("%+v", j)
	}
	clients := server.MustDo("CLIENT", "LIST", "TYPE", "replica").(string)
	if !strings.Contains(clients, "user=other") {
		t.Errorf("the replica is %s", clients)
	}
}

// A primary that comes back without its last writes: an incident, until somebody acknowledges it.
func TestJournalLostTail(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0", "--repl-backlog-size",
		"16mb", "--save", "3600 1", "--dbfilename", "dump.rdb")
	http := freeAddr(t)
	_, srv := serveServer(t, server.Addr, withJournal(t.TempDir()), func(o *proxy.Options) {
		o.HTTP = http
	})
	server.MustDo("SET", "kept", 1)
	recorded(t, srv, server)
	server.Save()
	server.MustDo("SET", "lost", 1)
	server.MustDo("SET", "lost", 2)
	recorded(t, srv, server)
	server.Kill()
	server.Restart()
	proxytest.Poll(t, "the lost tail is noticed", func() bool {
		list, err := srv.Incidents(context.Background())
		return err == nil && len(list) == 1 && list[0].Commands == 2 && list[0].Timeline == 1
	})
	recorded(t, srv, server)
	code, body := get(t, http, "/readyz")
	if code != 200 || !strings.Contains(body, "degraded: journal: the server lost 2 commands") {
		t.Errorf("%d %q", code, body)
	}
	if err := srv.AcknowledgeIncidents(context.Background()); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, http, "/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("acknowledged: %d %q", code, body)
	}
}
