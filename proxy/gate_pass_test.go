package proxy_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A storm of writes that pass is a few lines in the audit log, and none of them is missing.
func TestPassesInTheAuditLog(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	file := filepath.Join(t.TempDir(), "audit.log")
	pass := func(r *policy.RouteSpec) { r.PassUnavailable = true }
	other := func(o *proxy.Options) {
		o.Routes = append(o.Routes, policy.RouteSpec{Name: "other", Keys: []string{"other:*"},
			Demand: aReplica, PassUnavailable: true})
	}
	addr := serve(t, srv.Addr, withAudit(file), route(aReplica, pass), other)
	c := dial(t, addr)
	const n = 5000
	for i := range n {
		line, want := "SET pay:1 a\r\n", "+OK\r\n"
		if i == n/2 {
			line = "MULTI\r\nSET pay:2 a\r\nSET pay:3 a\r\nEXEC\r\n"
			want = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n+OK\r\n"
		}
		c.send(line)
		c.expect(want)
	}
	if got := c.do("SET other:1 a"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	count := func(rule string) (lines, commands int) {
		for _, l := range auditLines(t, file) {
			if l.Rule == rule && l.Verdict == "passed" {
				lines, commands = lines+1, commands+max(l.Count, 1)
			}
		}
		return lines, commands
	}
	proxytest.Poll(t, "all are told", func() bool {
		_, commands := count("route payments")
		return commands >= n
	})
	// One a second, and a slow machine may take some: a line each would be 5000.
	if lines, commands := count("route payments"); commands != n || lines > n/10 {
		t.Errorf("%d commands in %d lines", commands, lines)
	}
	first := auditLines(t, file)[0]
	if first.Count != 0 || first.Command == "" {
		t.Errorf("the first: %+v", first)
	}
	proxytest.Poll(t, "the other route has a line of its own", func() bool {
		lines, commands := count("route other")
		return lines == 1 && commands == 1
	})
}

// A report due once a second is made at the end, too.
func TestPassesAreToldAtTheEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.log")
	t.Run("proxy", func(t *testing.T) {
		srv := durable(t)
		pass := func(r *policy.RouteSpec) { r.PassUnavailable = true }
		c := dial(t, serve(t, srv.Addr, withAudit(file), route(aReplica, pass)))
		for range 3 {
			if got := c.do("SET pay:1 a"); got != "+OK\r\n" {
				t.Fatal(got)
			}
		}
	})
	commands := 0
	for _, l := range auditLines(t, file) {
		commands += max(l.Count, 1)
	}
	if commands != 3 {
		t.Errorf("%d of 3 commands are told", commands)
	}
}

// A client that says that it will send no more gets the held replies, and then the end.
func TestEOFWaitsForTheGate(t *testing.T) {
	t.Parallel()
	srv := durable(t)
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, route(aReplica))
	c, d := dial(t, addr), dial(t, addr)
	eventually(t, c)
	replica.Pause()
	c.send("SET pay:1 a\r\nGET pay:1\r\nSET pay:2 b\r\n")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the writes were executed", func() bool { return d.do("GET pay:2") == "$1\r\nb\r\n" })
	c.quiet(200 * time.Millisecond)
	replica.Resume()
	c.expect("+OK\r\n$1\r\na\r\n+OK\r\n")
	c.expectEOF()
}
