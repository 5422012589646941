package main

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/configs"
	"holdfast/proxy/proxytest"
)

// sentinelFile is a configuration with fake sentinels; more follows the upstream's keys.
func sentinelFile(more string, all ...*proxytest.FakeSentinel) string {
	text := "upstream:\n  sentinel_name: mymaster\n" + more + "  sentinels:\n"
	for _, s := range all {
		text += fmt.Sprintf("    - %s\n", s.Addr)
	}
	return text
}

func TestCheckSentinels(t *testing.T) {
	srv, other := proxytest.StartServer(t), proxytest.StartServer(t)
	var all []*proxytest.FakeSentinel
	for _, id := range []string{"a", "b", "c", "d"} {
		all = append(all, proxytest.StartFakeSentinel(t, id, srv.Addr))
	}
	for i, s := range all[:3] {
		s.List(all[(i+1)%3], all[(i+2)%3])
	}
	expectCheck(t, exitDone, sentinelFile("", all[:3]...), nil,
		"ok    config: FILE: 1 listener, upstream mymaster of 3 sentinels",
		"ok    sentinels: 3 of 3 name "+srv.Addr+", which says that it is a primary",
		"warn  sentinels: they see no replica", "ok    role: primary",
		"ok    failover: the control user default may demote the old primary",
		"warn  failover: min-replicas-to-write is 0: a primary that is cut off from its replicas goes on taking writes")
	expectCheck(t, exitDone, sentinelFile("", all[:3]...)+"failover: {fence: off}\n", nil,
		"warn  failover: failover.fence is off: clients that go round the proxy write to the old primary")
	srv.MustDo("ACL", "SETUSER", "default", "-replicaof", "-config|rewrite")
	srv.MustDo("CONFIG", "SET", "min-replicas-to-write", "1")
	expectCheck(t, exitDone, sentinelFile("", all[:3]...), nil,
		"warn  failover: the control user default may not run REPLICAOF, CONFIG REWRITE: after a failover the old primary "+
			"is not demoted at once. On every server: ACL SETUSER default +replicaof +config|rewrite")
	srv.MustDo("ACL", "SETUSER", "default", "+@all")
	srv.MustDo("CONFIG", "SET", "min-replicas-to-write", "0")
	expectCheck(t, exitDone, sentinelFile("  hold: 1s\n", all[0]), nil,
		"warn  sentinels: upstream.hold is 1s, and a failover",
		"warn  sentinels: "+all[1].Addr+" is listed by the others: add it to upstream.sentinels")
	all[2].Name(other.Addr)
	expectCheck(t, exitDone, sentinelFile("", all[:3]...), nil,
		"ok    sentinels: 2 of 3 name "+srv.Addr,
		"warn  sentinels: "+all[2].Addr+" names "+other.Addr+", and is outvoted")
	all[1].Close()
	expectCheck(t, exitFailed, sentinelFile("", all[:3]...), nil,
		"warn  sentinels: "+all[1].Addr+" does not answer: ",
		"FAIL  sentinels: no primary is known: 2 of 3 sentinels answer, and 2 know \"mymaster\"",
		"ok    rules: the built-in ones")
	all[2].Name(srv.Addr)
	expectCheck(t, exitDone, sentinelFile("", all[:3]...), nil,
		"ok    sentinels: 2 of 3 name "+srv.Addr, "warn  sentinels: "+all[1].Addr+" does not answer: ")
	all[0].Refuse("WRONGPASS no")
	expectCheck(t, exitFailed, sentinelFile("", all[0]), nil,
		"warn  sentinels: "+all[0].Addr+" does not answer: HELLO 3: WRONGPASS no")
}

// The other commands ask the sentinels, too.
func TestSentinelsNameTheServerOfACommand(t *testing.T) {
	srv := proxytest.StartServer(t)
	s := proxytest.StartFakeSentinel(t, "a", srv.Addr)
	file := configFile(t, sentinelFile("", s)+"journal: {dir: "+t.TempDir()+"}\n")
	_, _, stderr := execute(t, "recover", "--config", file, "--to", "redis://"+srv.Addr)
	if !strings.Contains(stderr, "upstream.sentinels: name the server: write address: ") {
		t.Errorf("recover: %q", stderr)
	}
	c, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := upstreamOf(t.Context(), c); err != nil || e.Address != srv.Addr {
		t.Errorf("repair and diff: %q, %v", e.Address, err)
	}
	s.Name("")
	if _, err := upstreamOf(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no primary is known") {
		t.Errorf("without a primary: %v", err)
	}
}

// Feeding replicas takes rights that a journal alone does not need.
func TestCheckFeed(t *testing.T) {
	srv := proxytest.StartServer(t)
	s := proxytest.StartFakeSentinel(t, "a", srv.Addr)
	expectCheck(t, exitDone, sentinelFile("", s)+"journal: {dir: j}\n", nil,
		"ok    failover: the control user default may feed replicas")
	expectCheck(t, exitDone, sentinelFile("", s)+"journal: {dir: j}\nfailover: {feed: off}\n", nil,
		"warn  failover: failover.feed is off: writes that only the journal has are missing after a failover")
	srv.MustDo("ACL", "SETUSER", "meek", "on", ">x", "+@all", "~*", "-replicaof")
	as := sentinelFile("  username: meek\n  password: x\n", s) + "journal: {dir: j}\n"
	expectCheck(t, exitDone, as, nil, "warn  failover: the control user meek may not run REPLICAOF: writes that only the "+
		"journal has are missing after a failover. On every server: ACL SETUSER meek +replicaof +info +multi +exec\n")
	srv.MustDo("ACL", "SETUSER", "meek", "+replicaof")
	expectCheck(t, exitDone, as, nil, "ok    failover: the control user meek may feed replicas")
	srv.MustDo("ACL", "SETUSER", "meek", "-client|list")
	expectCheck(t, exitDone, as, nil, "ok    failover: the control user meek may feed replicas")
	expectCheck(t, exitDone, as+"failover: {feed: always}\n", nil, "warn  failover: the control user meek may not run CLIENT: "+
		"writes that only the journal has are missing after a failover. On every server: ACL SETUSER meek +replicaof +info +multi +exec +client|setname +client|list\n")
}
