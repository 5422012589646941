package proxy_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

const hiddenKeys = "database 15 is hidden from clients for the mark"

// Keys in the database that routes take from clients are reported; the mark itself is not.
func TestKeysInTheDatabaseOfTheMark(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	aof := policy.Demand{AOFLocal: true}
	start := func() (*logBuffer, *conn) {
		log := &logBuffer{}
		addr := serve(t, srv.Addr, route(aof), func(o *proxy.Options) {
			o.Workers, o.Logger = 2, slog.New(slog.NewTextHandler(log, nil))
		})
		c := dial(t, addr)
		eventually(t, c)
		return log, c
	}
	start()
	if log, _ := start(); strings.Contains(log.String(), hiddenKeys) {
		t.Errorf("the mark is taken for somebody's key: %s", log)
	}
	const set = "redis.call('SELECT', 15) return redis.call('MSET', KEYS[1], 'x', KEYS[2], 'x')"
	srv.MustDo("EVAL", set, 2, "mine", "mine too")
	log, _ := start()
	if n := strings.Count(log.String(), hiddenKeys); n != 1 ||
		!strings.Contains(log.String(), "keys in it (2)") {
		t.Errorf("%d warnings: %s", n, log)
	}
}

// In cluster mode there is no database for the mark; the journal needs none.
func TestRoutesInClusterMode(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--cluster-enabled", "yes", "--appendonly", "yes",
		"--appendfsync", "always", "--repl-diskless-sync-delay", "0")
	const want = "cluster mode, where proofs"
	for _, d := range []policy.Demand{aReplica, {AOFLocal: true}, {AOFReplicas: 1}} {
		o := proxy.Options{Listeners: []proxy.Listener{{Address: "127.0.0.1:0"}},
			Upstream: upstream.Options{Address: srv.Addr}, Logger: testLog(t)}
		route(d)(&o)
		p, err := proxy.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := p.Run(ctx); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", d, err)
		}
		cancel()
	}
	srv.MustDo("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	proxytest.Poll(t, "the cluster is up", func() bool {
		state, _ := srv.MustDo("CLUSTER", "INFO").(string)
		return strings.Contains(state, "cluster_state:ok")
	})
	r := serveReloader(t, srv.Addr, route(policy.Demand{Journal: true}), withJournal(t.TempDir()))
	c := dial(t, r.addr)
	eventually(t, c)
	change := func(o *proxy.Options) { o.Routes = nil; route(aReplica)(o) }
	if _, err := r.reload(change); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("reload: %v", err)
	}
	eventually(t, c)
}
