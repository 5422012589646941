package drills

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/proxy/proxytest"
)

// parted begins a scene whose replica misses the last payments: its link was cut before them. Then it
// is promoted, and the primary is down. It returns the replica and everything that was acknowledged.
func (s *scene) parted() (replica *proxytest.Server, want contents) {
	s.Helper()
	s.deployed(s.server("--appendonly", "yes"))
	link := proxytest.StartFaultProxy(s, s.srv.Addr)
	replica = s.replica(link.Addr)
	link.Refuse()
	s.pays("second", 100)
	s.marked()
	want = contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	replica.MustDo("REPLICAOF", "NO", "ONE")
	s.name("127.0.0.1:6399", replica.Addr)
	return replica, want
}

// moved is the operator's change of the configuration after a failover.
func (s *scene) moved(to *proxytest.Server) {
	s.Helper()
	path := filepath.Join(s.dir, "holdfast.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		s.Fatal(err)
	}
	s.write("holdfast.yaml", strings.ReplaceAll(string(b), s.srv.Addr, to.Addr))
	s.srv = to
	s.name("127.0.0.1:6379", to.Addr)
}

// promotedEarly: the replica that was made the primary lacks payments that were acknowledged.
func promotedEarly(s *scene) {
	replica, want := s.parted()
	s.moved(replica)
	s.run(0)
	s.partWasLost(want)
}

// oldPrimaryBack: the old primary has come back as a replica of the new one, and the proxy still
// stands in front of it.
func oldPrimaryBack(s *scene) {
	replica, want := s.parted()
	old := s.srv
	old.Restart()
	host, port, _ := strings.Cut(replica.Addr, ":")
	must(s, dial(s, old.Addr), "REPLICAOF", host, port)
	s.ready(503, "it is a replica")
	s.alerts("HoldfastUpstreamIsReplica")
	s.refused("READONLY", "SET", "free", "1")
	s.moved(replica)
	s.run(0)
	s.partWasLost(want)
}

// partWasLost is what follows once the proxy stands in front of the new primary.
func (s *scene) partWasLost(want contents) {
	s.Helper()
	// The old primary may have been met on its way to become a replica: it had lost nothing.
	var list []incident
	s.await("the new primary's loss", func() bool {
		s.show("INCIDENTS", &list)
		return len(list) > 0 && list[len(list)-1].Verdict == "lost"
	})
	i := s.judged(len(list))
	if i.Commands < 100 || !strings.Contains(i.Why, "went another way") {
		s.Fatalf("the verdict is %+v", i)
	}
	s.name("--incident 1", fmt.Sprintf("--incident %d", i.N))
	s.refused("NODURABLE", "SET", "pay:now", "1")
	s.alerts("HoldfastJournalLostTail")
	s.run(1)
	s.answered("SET", "pay:now", "1")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}
