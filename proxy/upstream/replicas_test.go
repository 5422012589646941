package upstream

import (
	"strconv"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// replicaOf starts a replica that has an append-only file.
func replicaOf(t *testing.T, srv *proxytest.Server, args ...string) *proxytest.Server {
	t.Helper()
	return proxytest.Spec{Kind: srv.Binary.Kind, Args: append([]string{
		"--replicaof", "127.0.0.1 " + strconv.Itoa(srv.Port),
		"--appendonly", "yes", "--appendfsync", "always",
	}, args...)}.Start(t)
}

// What a replica's acknowledgement of an fsync is worth is not to be seen from its primary.
func TestReplicasAreAskedHowTheyFsync(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		u, _ := watch(t, testOptions(t, srv.Addr))
		replica := replicaOf(t, srv)
		expect := func(n, doubtful int, doubt string) {
			t.Helper()
			var info *Info
			proxytest.Poll(t, strconv.Itoa(n)+" and "+strconv.Itoa(doubtful)+": "+doubt, func() bool {
				info = u.Info()
				got, why := info.AOFReplicas()
				return info.OnlineReplicas() > 0 && got == n && info.AOFDoubtful() == doubtful &&
					strings.Contains(why, doubt) && (why == "") == (doubt == "")
			})
		}
		if srv.Binary.Kind == "redis7" {
			expect(0, 1, "has no WAITAOF")
			return
		}
		expect(0, 1, "not asked yet")
		u.WatchReplicas(true)
		expect(1, 0, "")
		replica.MustDo("CONFIG", "SET", "appendfsync", "no")
		expect(0, 1, replica.Addr+": appendfsync no never fsyncs")
		replica.MustDo("CONFIG", "SET", "appendonly", "no")
		expect(0, 0, "set appendonly yes")
		replica.MustDo("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
		expect(1, 0, "")
		u.WatchReplicas(false)
		expect(0, 1, "not asked yet")
		proxytest.Poll(t, "the rewrite has ended, which would outlive the server", func() bool {
			return replica.Info("persistence")["aof_rewrite_in_progress"] == "0"
		})
	}, "--repl-diskless-sync-delay", "0")
}

// Probe knows the replicas when it returns; one that does not let the control user in, or whose
// address leads elsewhere, proves nothing.
func TestProbeAsksReplicas(t *testing.T) {
	srv := proxytest.StartServer(t, "--repl-diskless-sync-delay", "0")
	other := proxytest.StartServer(t)
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"good":      {nil, ""},
		"locked":    {[]string{"--requirepass", "pw"}, "cannot be asked"},
		"elsewhere": {[]string{"--replica-announce-port", strconv.Itoa(other.Port)}, "not this replica"},
		"unreachable": {[]string{"--replica-announce-port", "1"},
			"cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			replica := replicaOf(t, srv, row.args...)
			proxytest.Poll(t, "it is online", func() bool {
				text, _ := srv.MustDo("INFO", "replication").(string)
				return strings.Contains(text, "state=online")
			})
			u := New(testOptions(t, srv.Addr))
			defer u.Stop()
			u.WatchReplicas(true)
			info, err := u.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n, doubt := info.AOFReplicas()
			if (n == 1) != (row.want == "") || !strings.Contains(doubt, row.want) {
				t.Errorf("got %d, %q, want %q", n, doubt, row.want)
			}
			replica.Kill()
			proxytest.Poll(t, "it is gone", func() bool {
				return srv.Info("replication")["connected_slaves"] == "0"
			})
		})
	}
}
