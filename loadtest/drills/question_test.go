package drills

import (
	"os"
	"strings"
)

// counted begins a scene whose machine goes down right behind a few INCRs, and the proxy with it. It
// returns the append-only file and its size before the last of them.
func (s *scene) counted() (file string, size int64) {
	s.Helper()
	s.deployed(s.server("--appendonly", "yes", "--appendfsync", "always"))
	direct := dial(s, s.srv.Addr)
	must(s, direct, "SELECT", "15")
	for id := s.srv.Info("replication")["master_replid"]; ; {
		before := s.offset()
		c := dial(s, s.addr)
		must(s, c, "INCR", "pay:count")
		must(s, c, "INCR", "pay:count")
		file, size = s.aof()
		must(s, c, "INCR", "pay:count")
		s.recorded()
		s.proxy.Kill()
		if at, ok := s.markOf(direct, id); ok && at <= before {
			return file, size
		}
		s.start() // a mark came in between, and would settle the question
		s.marked()
	}
}

// question is what an operator sees of it.
func (s *scene) question() {
	s.Helper()
	s.start()
	i := s.judged(1)
	if i.Verdict != "in question" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.ready(200, "in question")
	s.alerts("HoldfastJournalInQuestion")
	s.logs("in question")
	s.recorded()
	s.offers(i.Run, 1)
}

// inQuestion: a client writes to the server before the proxy is back. Nothing is lost, but no
// replication id, mark or length of the file says so.
func inQuestion(s *scene) {
	s.counted()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.srv.Restart()
	must(s, dial(s, s.srv.Addr), "SET", "early", "1")
	s.question()
	s.run(0)
	if i := s.judged(1); i.State != "nothing lost, proven" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.ready(200, "ready\n")
	s.answered("SET", "pay:now", "1")
	mine := func(name string) bool { return name == "0 pay:now" || name == "0 early" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}

// inQuestionAndLost: the last INCR did not reach the disk. The stream shows that it was executed,
// and a scratch server shows the counter's value.
func inQuestionAndLost(s *scene) {
	file, size := s.counted()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	if err := os.Truncate(file, size); err != nil {
		s.Fatal(err)
	}
	s.srv.Restart()
	s.question()
	s.run(0)
	if i := s.judged(1); i.Verdict != "lost" || !strings.Contains(i.State, "open") {
		s.Fatalf("the verdict is %+v", i)
	}
	s.refused("NODURABLE", "SET", "pay:now", "1")
	s.run(1)
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}
