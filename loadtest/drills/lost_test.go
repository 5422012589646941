package drills

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/proxytest"
)

// payRoute holds the OK to a payment until the journal has it.
const payRoute = `routes:
  - name: payments
    keys: ["pay:*"]
    ack: {journal: true}
`

// pays sends n payments on the route; each must be answered OK.
func (s *scene) pays(name string, n int) {
	s.Helper()
	all(s, dial(s, s.addr), n, func(i int) []string {
		return []string{"SET", fmt.Sprint("pay:", name, ":", i), strconv.Itoa(i)}
	})
}

// deployed begins a scene with data, payments, and a mark behind them.
func (s *scene) deployed(srv *proxytest.Server) {
	s.Helper()
	s.begin(srv, payRoute)
	fill(s, s.addr, s.size())
	s.pays("first", s.size()/10)
	s.marked()
}

// lost is what an operator sees of a proven loss, and what comes of the page's command.
func (s *scene) lost(why string, want contents) {
	s.Helper()
	i := s.judged(1)
	if i.Verdict != "lost" || !strings.Contains(i.Why, why) {
		s.Fatalf("the verdict is %+v", i)
	}
	s.ready(200, "the server lost")
	s.logs("journal: the primary lost writes that the journal holds")
	s.refused("NODURABLE", "SET", "pay:now", "1")
	s.alerts("HoldfastJournalLostTail")
	later(s, s.addr, 20) // routes that ask for no proof go on
	s.recorded()
	s.offers(i.Run, 0)
	s.run(0)
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	again := contentsOf(s, s.srv.Addr)
	mine := func(name string) bool { return strings.HasPrefix(name, "0 later:") || name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(again, mine))
}

// cameEmpty: the supervisor starts the server again without its data.
func cameEmpty(s *scene) {
	s.deployed(s.server())
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.srv.Restart()
	s.lost("the server is empty", want)
}

// cameEmptyAndConsole: the repair runs in the proxy, on a word on its console.
func cameEmptyAndConsole(s *scene) {
	s.deployed(s.server())
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.srv.Restart()
	if i := s.judged(1); i.Verdict != "lost" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.refused("NODURABLE", "SET", "pay:now", "1")
	s.recorded()
	begin := time.Now()
	s.run(2)
	s.await("the repair has ended", func() bool {
		var state struct{ Running bool }
		s.show("REPAIR", &state)
		return !state.Running
	})
	s.took = time.Since(begin)
	if out, err := s.look(3); err != nil || !strings.Contains(out, "the incident is closed") {
		s.Fatal(err, out)
	}
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(contentsOf(s, s.srv.Addr), mine))
}

// cameEmptyAndConflicts: clients have written a lost key again since, which a person decides about.
func cameEmptyAndConflicts(s *scene) {
	s.deployed(s.server())
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.srv.Restart()
	s.judged(1)
	s.ready(200, "the server lost") // and the proxy has its links again
	later(s, s.addr, 20)
	if _, err := s.command("SET", "item:5", "since"); err != nil {
		s.Fatal(err)
	}
	s.recorded()
	now := contentsOf(s, s.srv.Addr)
	if out, err := s.try(0); err == nil {
		s.Fatal("a conflict was decided by itself: " + out)
	}
	s.run(1)
	s.answered("SET", "pay:now", "1")
	s.ready(200, "ready\n")
	mine := func(name string) bool { return name == "0 pay:now" }
	s.holds(s.srv.Addr, want.with(now, func(name string) bool { return now[name] != "" }).
		with(contentsOf(s, s.srv.Addr), mine))
}

// cameFromOldRDB: its dump.rdb is older than the writes behind it.
func cameFromOldRDB(s *scene) {
	s.deployed(s.server())
	s.srv.Save()
	s.pays("second", 100)
	s.marked()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	s.srv.Restart()
	s.lost("", want) // by the replication ids or, where the file has none, by the mark
}

// cameFromCutAOF: the end of its append-only file did not reach the disk.
func cameFromCutAOF(s *scene) {
	s.deployed(s.server("--appendonly", "yes"))
	name, size := s.aof()
	s.pays("second", 100)
	s.marked()
	want := contentsOf(s, s.srv.Addr)
	s.srv.Kill()
	if err := os.Truncate(name, size); err != nil {
		s.Fatal(err)
	}
	s.srv.Restart()
	s.lost("whole up to its mark", want)
}

// aof is the server's newest append-only file and its size, once everything is written to it.
func (s *scene) aof() (name string, size int64) {
	s.Helper()
	s.await("the append-only file is written", func() bool {
		return s.srv.Info("persistence")["aof_buffer_length"] == "0"
	})
	files, err := filepath.Glob(filepath.Join(s.srv.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) == 0 {
		s.Fatal(files, err)
	}
	slices.Sort(files)
	name = files[len(files)-1]
	st, err := os.Stat(name)
	if err != nil {
		s.Fatal(err)
	}
	return name, st.Size()
}

// cameCleanly: a restart that loses nothing ends by itself.
func cameCleanly(s *scene) {
	s.deployed(s.server("--appendonly", "yes"))
	want := contentsOf(s, s.srv.Addr)
	s.srv.Stop()
	s.srv.Restart()
	up := time.Now()
	if i := s.judged(1); i.Verdict != "nothing lost" || i.Run != "" {
		s.Fatalf("the verdict is %+v", i)
	}
	s.logs("journal: the server came with a new history and has lost nothing")
	s.ready(200, "ready\n")
	s.took = time.Since(up)
	s.holds(s.srv.Addr, want)
	s.answered("SET", "pay:now", "1")
}
