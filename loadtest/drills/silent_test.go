package drills

import "strings"

// silentCorruption: a bit of a value turns over in the server's memory. No command says so, so that
// only a comparison with the journal finds it.
func silentCorruption(s *scene) {
	s.begin(s.server(), "rules: []\n")
	fill(s, s.addr, s.size())
	value := strings.Repeat("paid in full; ", 8) + "Kim"
	if _, err := s.command("SET", "ledger:7", value); err != nil {
		s.Fatal(err)
	}
	s.recorded()
	want := contentsOf(s, s.srv.Addr)
	if err := flipInMemory(s.srv.Pid, []byte(value)); err != nil {
		s.Fatal(err)
	}
	if got, err := s.command("GET", "ledger:7"); err != nil || got == value {
		s.Fatalf("%v, %v: nothing has changed", got, err)
	}
	out, err := s.try(0)
	if err == nil || !strings.Contains(out, "ledger:7") {
		s.Fatalf("%v: %s", err, out)
	}
	s.tells("`proxy diff`, exit code 1")
	s.run(1)
	s.holds(s.srv.Addr, want)
}
