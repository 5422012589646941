package drills

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// broken is how many keys the script breaks.
const broken = 200

// aScriptBreaksKeys: 200 keys were overwritten an hour of writes ago, and nothing else may change.
func aScriptBreaksKeys(s *scene) {
	s.begin(s.server(), "rules: []\n")
	fill(s, s.addr, s.size())
	c := dial(s, s.addr)
	all(s, c, broken, func(i int) []string {
		if i%2 == 0 {
			return []string{"HSET", fmt.Sprint("user:", i), "name", fmt.Sprint("n", i), "paid", "1"}
		}
		return []string{"SET", fmt.Sprint("user:", i), strconv.Itoa(i), "EX", strconv.Itoa(90000 + i)}
	})
	s.recorded()
	before := contentsOf(s, s.srv.Addr)
	must(s, c, "EVAL", "for i = 0, "+strconv.Itoa(broken-1)+" do "+
		"redis.call('SET', 'user:' .. i, 'broken') end", "0")
	hour(s, s.addr, s.size()*10)
	s.recorded()
	live := contentsOf(s, s.srv.Addr)
	out, err := s.try(0)
	if err != nil || !strings.Contains(out, "broken") {
		s.Fatal(err, out)
	}
	s.tells("`journal show`")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "broken") {
			s.name("34916", strings.Fields(line)[0])
			break
		}
	}
	s.run(1)
	users := func(name string) bool { return strings.HasPrefix(name, "0 user:") }
	s.holds(s.srv.Addr, live.with(before, users))
}

// hour is what an hour brings: writes to other keys, and deletes.
func hour(t testing.TB, addr string, n int) {
	t.Helper()
	all(t, dial(t, addr), n, func(i int) []string {
		switch key := "order:" + strconv.Itoa(i%1000); i % 5 {
		case 0:
			return []string{"DEL", key}
		case 1:
			return []string{"INCR", "orders"}
		}
		return []string{"SET", "order:" + strconv.Itoa(i%1000), strconv.Itoa(i)}
	})
}
