package proxy_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// routeState is what SHOW ROUTES says of a route.
func routeState(t *testing.T, srv *proxy.Served, name string) admin.Route {
	t.Helper()
	list, err := srv.Routes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no route %s among %+v", name, list)
	return admin.Route{}
}

// What can be proven follows the server: replicas, its settings, its role.
func TestAvailabilityFollowsTheServer(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, up *proxytest.Server) {
		routes := []policy.RouteSpec{
			{Name: "replica", Demand: policy.Demand{Replicas: 1}},
			{Name: "aof", Demand: policy.Demand{AOFLocal: true}, PassUnavailable: true},
			{Name: "journal", Demand: policy.Demand{Journal: true}},
		}
		_, srv := serveServer(t, up.Addr, func(o *proxy.Options) {
			o.Routes = routes
			o.Journal.Dir = t.TempDir()
		})
		expect := func(name, why string) {
			t.Helper()
			proxytest.Poll(t, "route "+name+": "+why, func() bool {
				r := routeState(t, srv, name)
				return strings.Contains(r.Why, why) && r.Available == (why == "") &&
					r.Available == (r.Why == "")
			})
			shown := slices.ContainsFunc(srv.Degraded(), func(line string) bool {
				names, _, ok := strings.Cut(line, ": writes are ")
				return ok && strings.Contains(names, name)
			})
			if shown != (why != "") {
				t.Errorf("route %s, %q: readiness says %q", name, why, srv.Degraded())
			}
		}
		expect("journal", "") // and not "0 of 1 replicas": it is none
		expect("replica", "0 of 1 replicas are online")
		if up.Binary.Kind == "redis7" {
			expect("aof", "has no WAITAOF")
			return
		}
		expect("aof", "set appendonly yes")
		up.MustDo("CONFIG", "SET", "appendonly", "yes")
		up.MustDo("CONFIG", "SET", "appendfsync", "always")
		expect("aof", "")
		up.MustDo("CONFIG", "SET", "appendfsync", "no")
		expect("aof", "set appendfsync always")
		replica := proxytest.Spec{Kind: up.Binary.Kind,
			Args: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(up.Port)}}.Start(t)
		expect("replica", "")
		replica.Kill()
		expect("replica", "0 of 1 replicas are online")
		up.MustDo("REPLICAOF", "127.0.0.1", strconv.Itoa(replica.Port))
		expect("journal", "the server is a replica")
	}, "--repl-diskless-sync-delay", "0")
}

// The kinds of proofs and for how long they could not be had; a reload that takes the routes away.
func TestFencesOfTheConsole(t *testing.T) {
	t.Parallel()
	up := proxytest.StartServer(t)
	var o proxy.Options
	_, srv := serveServer(t, up.Addr, func(p *proxy.Options) {
		p.Routes = []policy.RouteSpec{{Name: "pay", Demand: policy.Demand{Journal: true, Replicas: 1}}}
		o = *p
		p.LoadOptions = func() (proxy.Options, error) { return o, nil }
	})
	var list []admin.Fences
	proxytest.Poll(t, "both kinds away", func() bool {
		var err error
		if list, err = srv.Fences(context.Background()); err != nil {
			t.Fatal(err)
		}
		return len(list) == 2 && list[0].Unavailable > 0 && list[1].Unavailable > 0
	})
	for i, want := range []admin.Fences{
		{Kind: "journal", Why: "journal.dir"}, {Kind: "replicas 1", Why: "0 of 1 replicas"},
	} {
		f := list[i]
		if f.Kind != want.Kind || !strings.Contains(f.Why, want.Why) || f.Available || !f.Asked {
			t.Errorf("got %+v, want %+v", f, want)
		}
	}
	o.Routes = nil
	if _, err := srv.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if list, err := srv.Fences(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("without routes: %v, %+v", err, list)
	}
	if got := srv.Degraded(); len(got) != 0 {
		t.Errorf("without routes: readiness says %q", got)
	}
}

// A replica that acknowledges before its fsync proves nothing, and does not stand in for one that
// does.
func TestReplicaThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	up := proxytest.Spec{Kind: "valkey", Args: []string{"--repl-diskless-sync-delay", "0"}}.Start(t)
	addr, srv := serveServer(t, up.Addr, func(o *proxy.Options) {
		o.Routes = []policy.RouteSpec{{Name: "aof", Demand: policy.Demand{AOFReplicas: 1},
			Timeout: time.Minute}}
	})
	c := dial(t, addr)
	replica := func(fsync string) *proxytest.Server {
		return proxytest.Spec{Kind: "valkey", Args: []string{"--appendonly", "yes", "--appendfsync",
			fsync, "--replicaof", "127.0.0.1 " + strconv.Itoa(up.Port)}}.Start(t)
	}
	early := replica("everysec")
	proxytest.Poll(t, "it is seen through", func() bool {
		return strings.Contains(routeState(t, srv, "aof").Why, early.Addr+": under appendfsync everysec")
	})
	if got := c.do("SET k v"); !strings.HasPrefix(got, "-NODURABLE") {
		t.Errorf("with a replica that answers early: got %q", got)
	}
	replica("always")
	proxytest.Poll(t, "one that can be believed", func() bool {
		return routeState(t, srv, "aof").Available
	})
	if got := c.do("SET k v"); got != "+OK\r\n" {
		t.Errorf("with both: got %q", got)
	}
	early.Pause() // WAITAOF counts it, too: which of the two it has counted nobody can tell
	c.send("SET k w\r\n")
	proxytest.Poll(t, "the reply is held", func() bool {
		list, _, err := srv.Sessions(t.Context(), admin.SessionQuery{})
		return err == nil && len(list) == 1 && list[0].State == "held" && list[0].OutputBuffer == 5 &&
			routeState(t, srv, "aof").Held == 1
	})
	c.quiet(50 * time.Millisecond)
	early.Resume()
	c.expect("+OK\r\n")
}
