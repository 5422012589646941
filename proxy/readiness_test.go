package proxy_test

import (
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// A proxy whose server refuses what clients send is not ready, says why, and is ready again after.
func TestNotReadyWhileTheServerRefuses(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey9"}.Start(t)
	primary := proxytest.StartServer(t)
	host, port, _ := strings.Cut(primary.Addr, ":")
	addr, p := serveServer(t, srv.Addr)
	c := dial(t, addr)
	for _, row := range []struct {
		name       string
		begin, end []any
		want       string
	}{
		{"a replica", []any{"REPLICAOF", host, port}, []any{"REPLICAOF", "NO", "ONE"}, "-READONLY"},
		{"paused", []any{"CLIENT", "PAUSE", "60000", "WRITE"}, []any{"CLIENT", "UNPAUSE"},
			"it is paused: writes wait"},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"},
			[]any{"CONFIG", "SET", "min-replicas-to-write", "0"}, "-NOREPLICAS"},
	} {
		srv.MustDo(row.begin...)
		proxytest.Poll(t, row.name+": it is not ready", func() bool {
			c.do("GET k")
			if row.name != "paused" {
				c.do("SET k v") // its error shows that something has changed
			}
			return strings.Contains(strings.Join(p.NotReady(), "\n"), row.want)
		})
		srv.MustDo(row.end...)
		proxytest.Poll(t, row.name+": it is ready again", func() bool { return len(p.NotReady()) == 0 })
	}
}

func TestNotReadyWhileTheServerLoads(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartScripted(t)
	srv.Reply("INFO", proxytest.Bulk("run_id:x\r\nrole:master\r\nloading:1\r\nredis_version:7.2.4\r\n"))
	_, p := serveServer(t, srv.Addr)
	if got := strings.Join(p.NotReady(), "\n"); !strings.Contains(got, "it is loading its data") {
		t.Errorf("got %q", got)
	}
	srv.Reply("INFO", proxytest.Bulk("run_id:x\r\nrole:master\r\nloading:0\r\nredis_version:7.2.4\r\n"))
	proxytest.Poll(t, "it is ready", func() bool { return len(p.NotReady()) == 0 })
}
