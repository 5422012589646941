package proxy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

var journaled = policy.Demand{Journal: true}

// withMark marks the server as often as tests have patience for.
func withMark(o *proxy.Options) { o.Journal.Mark = 2 * time.Millisecond }

// theIncident waits for the one incident.
func theIncident(t *testing.T, srv *proxy.Served) admin.Incident {
	t.Helper()
	var list []admin.Incident
	proxytest.Poll(t, "an incident", func() bool {
		var err error
		list, err = srv.Incidents(context.Background())
		return err == nil && len(list) > 0
	})
	if len(list) != 1 {
		t.Fatalf("incidents %+v", list)
	}
	return list[0]
}

// wholeAndMarked waits until the journal has everything and the server a mark behind its last write.
func wholeAndMarked(t *testing.T, srv *proxy.Served, server *proxytest.Server) {
	t.Helper()
	j := recorded(t, srv, server)
	server.MustDo("INCR", "last")
	proxytest.Poll(t, "a mark in the journal", func() bool {
		return markOf(t, srv) > j.Durable
	})
	recorded(t, srv, server)
}

// markOf is the offset in the newest mark.
func markOf(t *testing.T, srv *proxy.Served) int64 {
	t.Helper()
	snap, err := srv.Snapshot(context.Background())
	if err != nil || snap.Journal == nil {
		t.Fatal(err)
	}
	return snap.Journal.Tap.Marked
}

// A primary whose supervisor starts it again without its data: promises end, until a person says
// that they may go on; traffic without promises goes on all the time.
func TestEmptyRestartHoldsPromises(t *testing.T) {
	for name, row := range map[string]struct{ required, goOn bool }{
		"hold": {}, "required": {required: true}, "continue": {goOn: true},
	} {
		t.Run(name, func(t *testing.T) {
			server, http := journalServer(t), freeAddr(t)
			addr, srv := serveServer(t, server.Addr, route(journaled), withJournal(t.TempDir()),
				withMark, func(o *proxy.Options) {
					o.HTTP, o.Journal.Required, o.Journal.GoOn = http, row.required, row.goOn
				})
			eventually(t, dial(t, addr))
			wholeAndMarked(t, srv, server)
			server.Kill()
			server.Restart()
			i := theIncident(t, srv)
			if i.Verdict != "lost" || i.Hold == row.goOn || !i.Closed.IsZero() || i.Keys < 2 ||
				!strings.Contains(i.Why, "empty") || !strings.Contains(i.Run, "proxy repair --config FILE --incident 1") {
				t.Errorf("%+v", i)
			}
			recorded(t, srv, server)
			c := dial(t, addr)
			if got := c.do("SET free 1"); got != "+OK\r\n" {
				t.Errorf("a write without a promise: %q", got)
			}
			if row.goOn {
				eventually(t, c)
			} else {
				got := c.do("SET pay:1 1")
				expectCode(t, "NODURABLE", got)
				if !strings.Contains(got, "the server lost writes") {
					t.Error(got)
				}
			}
			code, body := get(t, http, "/readyz")
			if want := map[bool]int{false: 200, true: 503}[row.required]; code != want ||
				!strings.Contains(body, "the server lost") {
				t.Errorf("readyz: %d %q", code, body)
			}
			_, metrics := get(t, http, "/metrics")
			for _, want := range []string{`holdfast_journal_incidents_open{verdict="lost"} 1`,
				`holdfast_journal_verdicts{verdict="lost"} 1`,
				"holdfast_journal_held " + map[bool]string{true: "0", false: "1"}[row.goOn]} {
				if !strings.Contains(metrics, want) {
					t.Errorf("no %s", want)
				}
			}
			if err := srv.AcknowledgeIncidents(context.Background()); err != nil {
				t.Fatal(err)
			}
			eventually(t, c)
			if code, body := get(t, http, "/readyz"); code != 200 || body != "ready\n" {
				t.Errorf("acknowledged: %d %q", code, body)
			}
		})
	}
}

// What an incident withholds is withheld by the next proxy on that folder, too.
func TestHeldAcrossRestarts(t *testing.T) {
	server, dir := journalServer(t), t.TempDir()
	start := func() (string, *proxy.Served, func()) {
		o := proxy.Options{}
		ctx, cancel := context.WithCancel(context.Background())
		o.Listeners = []proxy.Listener{{Address: "127.0.0.1:0"}}
		o.Upstream.Address, o.Upstream.MaxBackoff = server.Addr, 50*time.Millisecond
		o.Logger = testLog(t)
		for _, f := range []func(*proxy.Options){route(journaled), withJournal(dir), withMark} {
			f(&o)
		}
		srv, err := proxy.New(o)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- srv.Run(ctx) }()
		proxytest.Poll(t, "the proxy listens", func() bool { return len(srv.Addrs()) > 0 })
		return srv.Addrs()[0].String(), proxy.Serving(srv), func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	_, srv, stop := start()
	wholeAndMarked(t, srv, server)
	server.Kill()
	server.Restart()
	theIncident(t, srv)
	stop()
	for round, want := range []string{"-NODURABLE ", "+OK"} {
		addr, srv, stop := start()
		c := dial(t, addr)
		proxytest.Poll(t, want, func() bool {
			got := c.do("SET pay:1 1")
			return strings.HasPrefix(got, want) && (round == 1 || strings.Contains(got, "lost writes"))
		})
		if err := srv.AcknowledgeIncidents(context.Background()); err != nil {
			t.Fatal(err)
		}
		stop()
	}
}

// A clean restart from the append-only file ends in order, by itself.
func TestCleanRestartLosesNothing(t *testing.T) {
	server, http := durable(t, "--appendonly", "yes"), freeAddr(t)
	addr, srv := serveServer(t, server.Addr, route(journaled), withJournal(t.TempDir()), withMark,
		func(o *proxy.Options) { o.HTTP, o.Journal.Required = http, true })
	eventually(t, dial(t, addr))
	wholeAndMarked(t, srv, server)
	server.Stop()
	server.Restart()
	i := theIncident(t, srv)
	if i.Verdict != "nothing lost" || i.Hold || i.Closed.IsZero() || i.Run != "" {
		t.Errorf("%+v", i)
	}
	recorded(t, srv, server)
	eventually(t, dial(t, addr))
	proxytest.Poll(t, "ready", func() bool {
		code, body := get(t, http, "/readyz")
		return code == 200 && body == "ready\n"
	})
	if _, metrics := get(t, http, "/metrics"); !strings.Contains(metrics,
		`holdfast_journal_incidents_open{verdict="lost"} 0`) || !strings.Contains(metrics,
		`holdfast_journal_verdicts{verdict="nothing_lost"} 1`) {
		t.Error("metrics")
	}
}

// Two proxies with a journal each mark one server: neither disturbs the other's verdict, and their
// marks bring about no marks.
func TestTwoProxiesMarkOneServer(t *testing.T) {
	server := durable(t, "--appendonly", "yes")
	_, one := serveServer(t, server.Addr, withJournal(t.TempDir()), withMark)
	_, two := serveServer(t, server.Addr, withJournal(t.TempDir()), withMark)
	for _, srv := range []*proxy.Served{one, two} {
		wholeAndMarked(t, srv, server)
	}
	var quiet int64
	proxytest.Poll(t, "the marks to end", func() bool {
		before := quiet
		quiet = recorded(t, one, server).Durable
		time.Sleep(20 * time.Millisecond)
		return before == quiet
	})
	server.Stop()
	server.Restart()
	for _, srv := range []*proxy.Served{one, two} {
		if i := theIncident(t, srv); i.Verdict != "nothing lost" {
			t.Errorf("%+v", i)
		}
	}
	// Once more, and the file loses all of that.
	files, err := filepath.Glob(filepath.Join(server.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	name := files[len(files)-1]
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, srv := range []*proxy.Served{one, two} {
		wholeAndMarked(t, srv, server)
	}
	server.Stop()
	if err := os.Truncate(name, st.Size()); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	for _, srv := range []*proxy.Served{one, two} {
		var list []admin.Incident
		proxytest.Poll(t, "a second incident", func() bool {
			list, err = srv.Incidents(context.Background())
			return err == nil && len(list) == 2
		})
		if list[1].Verdict != "lost" {
			t.Errorf("%+v", list[1])
		}
	}
}
