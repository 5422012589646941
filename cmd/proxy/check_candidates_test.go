package main

import (
	"net"
	"strings"
	"testing"

	"holdfast/configs"
	"holdfast/proxy/proxytest"
)

// candidatesFile is a configuration with candidates; more follows.
func candidatesFile(more string, all ...*proxytest.Server) string {
	text := "upstream:\n  address:\n"
	for _, s := range all {
		text += "    - " + s.Addr + "\n"
	}
	return text + more
}

func replicaOf(t *testing.T, replica, primary *proxytest.Server) {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	replica.MustDo("REPLICAOF", host, port)
	proxytest.Poll(t, "the replica to follow", func() bool {
		return replica.Info("replication")["master_link_status"] == "up"
	})
}

func TestCheckCandidates(t *testing.T) {
	a, b, c := proxytest.StartServer(t), proxytest.StartServer(t), proxytest.StartServer(t)
	expectCheck(t, exitFailed, candidatesFile("", a, b), nil,
		"ok    config: FILE: 1 listener, upstream one of ["+a.Addr+", "+b.Addr+"]",
		"ok    candidates: "+a.Addr+": a primary, history "+a.Info("replication")["master_replid"],
		"FAIL  candidates: no primary: "+a.Addr+" and "+b.Addr+" say that they are primaries, and the histories do not tell",
		"ok    rules: the built-in ones")
	replicaOf(t, b, a)
	id := a.Info("replication")["master_replid"]
	expectCheck(t, exitDone, candidatesFile("  hold: 0s\n", a, b), nil,
		"ok    candidates: "+a.Addr+" is the primary: it alone says that it is a primary",
		"ok    candidates: "+b.Addr+": a replica of "+a.Addr+", history "+id,
		"warn  candidates: upstream.hold is 0", "ok    role: primary",
		"warn  failover: min-replicas-to-write is 0: a primary that is cut off from its replicas goes on taking writes")
	replicaOf(t, b, c)
	expectCheck(t, exitDone, candidatesFile("", a, b), nil,
		"warn  candidates: "+b.Addr+": a replica of "+c.Addr+", and not of "+a.Addr+": it may have other data")
	replicaOf(t, b, a)
	b.MustDo("REPLICAOF", "NO", "ONE")
	expectCheck(t, exitDone, candidatesFile("", a, b), nil,
		"ok    candidates: "+b.Addr+": a primary, history "+b.Info("replication")["master_replid"]+", which continues "+id,
		"ok    candidates: "+b.Addr+" is the primary: its history is the newest",
		"warn  candidates: "+a.Addr+" says that it is a primary, too: its history is an older one. Clients that go round "+
			"the proxy may write there. Make it a replica of "+b.Addr)
	b.MustDo("REPLICAOF", "127.0.0.1", "1")
	expectCheck(t, exitDone, candidatesFile("", a, b), nil,
		"warn  candidates: "+b.Addr+": a replica of 127.0.0.1:1, to which it has no connection, and not of "+a.Addr)
	a.Kill()
	expectCheck(t, exitFailed, candidatesFile("", a, b), nil,
		"warn  candidates: "+a.Addr+": does not answer: ", "FAIL  candidates: no primary: no candidate says that it is a primary")
}

// The other commands ask the candidates, too.
func TestCandidatesAreTheServerOfACommand(t *testing.T) {
	a, b := proxytest.StartServer(t), proxytest.StartServer(t)
	replicaOf(t, a, b)
	file := configFile(t, candidatesFile("journal: {dir: "+t.TempDir()+"}\n", a, b))
	_, _, stderr := execute(t, "recover", "--config", file, "--to", "redis://"+b.Addr)
	if !strings.Contains(stderr, "upstream.address: is a list: write address: ") {
		t.Errorf("recover: %q", stderr)
	}
	c, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := upstreamOf(t.Context(), c); err != nil || e.Address != b.Addr {
		t.Errorf("repair and diff: %q, %v", e.Address, err)
	}
	b.Kill()
	if _, err := upstreamOf(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no candidate says that it is a primary") {
		t.Errorf("without a primary: %v", err)
	}
}
