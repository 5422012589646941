package proxy_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// The console repairs a server that lost writes while a route waits for it, in the background: the
// route goes on when the incident is closed, and the audit log has the beginning and the end.
func TestRepairOnTheConsole(t *testing.T) {
	audit := filepath.Join(t.TempDir(), "audit")
	addr, srv, server := losesWrites(t, func(o *proxy.Options) { o.Audit.File = audit })
	i := theIncident(t, srv)
	if i.Verdict != "lost" || i.N != 1 || i.Run != "proxy repair --config FILE --incident 1" {
		t.Errorf("%+v", i)
	}
	recorded(t, srv, server)
	ctx := context.Background()
	if err := srv.Repair(ctx, admin.RepairRequest{Incident: 1, Operator: "1.2.3.4:5"}); err != nil {
		t.Fatal(err)
	}
	var state *admin.Repair
	proxytest.Poll(t, "the repair to end", func() bool {
		var err error
		state, err = srv.RepairState(ctx)
		return err == nil && state != nil && !state.Running
	})
	if !state.Done || state.Error != "" || len(state.Lines) == 0 {
		t.Fatalf("%+v", state)
	}
	if server.MustDo("GET", "kept") != "new" || server.MustDo("GET", "lost") != "1" {
		t.Error("it is not put back")
	}
	eventually(t, dial(t, addr))
	if i := theIncident(t, srv); i.Closed.IsZero() || !strings.HasPrefix(i.How, "repaired: ") {
		t.Errorf("%+v", i)
	}
	proxytest.Poll(t, "the audit log", func() bool {
		text, err := os.ReadFile(audit)
		return err == nil && strings.Contains(string(text), "repair ended")
	})
	if err := srv.Repair(ctx, admin.RepairRequest{Incident: 1, Conflicts: "perhaps"}); err == nil {
		t.Error("conflicts: perhaps")
	}
}

// losesWrites is a proxy with an incident: its server has lost a new key and a new value. A route waits for it.
func losesWrites(t *testing.T, change func(*proxy.Options)) (addr string, srv *proxy.Served, server *proxytest.Server) {
	t.Helper()
	server = journalServer(t)
	t.Setenv("PATH", filepath.Dir(server.Binary.Path)+":"+os.Getenv("PATH"))
	addr, srv = serveServer(t, server.Addr, route(journaled), withJournal(t.TempDir()), withMark, change)
	eventually(t, dial(t, addr))
	server.MustDo("SET", "kept", "old")
	recorded(t, srv, server)
	server.Save()
	server.MustDo("SET", "kept", "new")
	server.MustDo("SET", "lost", 1)
	recorded(t, srv, server)
	server.Kill()
	server.Restart()
	theIncident(t, srv)
	return addr, srv, server
}

// The page repairs as the console does: first it only looks, then it puts back, and shows both, and the audit log has them.
func TestRepairOnThePage(t *testing.T) {
	audit, at := filepath.Join(t.TempDir(), "audit"), freeAddr(t)
	_, srv, server := losesWrites(t, func(o *proxy.Options) {
		o.Audit.File, o.HTTP, o.Admin.Password = audit, at, "secret"
	})
	recorded(t, srv, server)
	b := openPage(t, at)
	b.show("/login", url.Values{"password": {"secret"}, "next": {"/repair?incident=1"}}, "Repair incident 1?", "The server may lack ")
	for _, step := range []struct{ how, shown, kept string }{
		{"look", "a look, over", "old"}, {"replace", ">done</span> after", "new"},
	} {
		b.show("/repair", url.Values{"incident": {"1"}, "how": {step.how}}, "it runs; its progress is below the timeline")
		proxytest.Poll(t, "the page shows: "+step.shown, func() bool {
			_, text := b.do("/", nil)
			return strings.Contains(text, "Repair of incident 1") && strings.Contains(text, step.shown)
		})
		if got := server.MustDo("GET", "kept"); got != step.kept {
			t.Errorf("%s: the key is %v", step.how, got)
		}
	}
	if _, text := b.do("/", nil); strings.Contains(text, `href="/repair?incident=1"`) {
		t.Error("the closed incident can be repaired again")
	}
	proxytest.Poll(t, "the audit log", func() bool {
		text, err := os.ReadFile(audit)
		return err == nil && strings.Contains(string(text), `"command":"REPAIR 1 DRYRUN"`) &&
			strings.Contains(string(text), `"command":"REPAIR 1 CONFLICTS replace"`) && strings.Count(string(text), "repair ended") == 2
	})
}

// A repair that was killed while it fed the server has left it a replica of an address where nothing
// answers. The proxy makes it a primary again, and no server that replicates from elsewhere.
func TestRoleAfterAKilledFeed(t *testing.T) {
	server, dir := journalServer(t), t.TempDir()
	addr, _ := serveServer(t, server.Addr, withJournal(dir))
	role := func() string { return server.Info("replication")["role"] }
	word := journal.Feeding{N: 1, RunID: server.Info("server")["run_id"], Address: "127.0.0.1:1"}
	if err := journal.LeaveFeeding(nil, dir, word); err != nil {
		t.Fatal(err)
	}
	server.MustDo("REPLICAOF", "127.0.0.1", "1")
	proxytest.Poll(t, "the role", func() bool { return role() == "master" })
	proxytest.Poll(t, "the word", func() bool {
		words, err := journal.Feedings(nil, dir)
		return err == nil && len(words) == 1 && words[0].Address == ""
	})
	eventually(t, dial(t, addr))
	word.RunID = "of the process before the server was started with that address in its file"
	if err := journal.LeaveFeeding(nil, dir, word); err != nil {
		t.Fatal(err)
	}
	server.MustDo("REPLICAOF", "127.0.0.1", "1")
	proxytest.Poll(t, "the role", func() bool { return role() == "master" })
	proxytest.Poll(t, "the word", func() bool {
		words, err := journal.Feedings(nil, dir)
		return err == nil && len(words) == 1 && words[0].Address == ""
	})
	word.Address = "127.0.0.1:2"
	if err := journal.LeaveFeeding(nil, dir, word); err != nil {
		t.Fatal(err)
	}
	server.MustDo("REPLICAOF", "127.0.0.1", "3")
	proxytest.Poll(t, "the proxy's look", func() bool {
		words, err := journal.Feedings(nil, dir)
		return err == nil && len(words) == 1 && words[0].Address == ""
	})
	if role() != "slave" {
		t.Error("a replica of another address was promoted")
	}
}
