package drills

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/loadtest/harness"
)

// workers are those of the README's incident, who were to clear a test database.
const workers = 50

// flood sends FLUSHALL n times from many connections. It returns how often the answer was OK.
func (s *scene) flood(n int) (ok int) {
	s.Helper()
	var wait sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		wait.Go(func() {
			c, err := harness.DialClient(s.addr, replyTimeout)
			if err != nil {
				s.Error(err)
				return
			}
			defer c.Close()
			good := 0
			for range n / workers {
				v, err := c.Do("FLUSHALL")
				if err != nil {
					s.Error(err)
					return
				}
				if v == "OK" {
					good++
				}
			}
			mu.Lock()
			ok += good
			mu.Unlock()
		})
	}
	wait.Wait()
	return ok
}

func (s *scene) flushes() int { return s.size() / workers * workers }

// later writes behind the incident.
func later(t testing.TB, addr string, n int) {
	t.Helper()
	all(t, dial(t, addr), n, func(i int) []string {
		return []string{"SET", "later:" + strconv.Itoa(i), strconv.Itoa(i)}
	})
}

const trashRule = `rules:
  - name: flush
    commands: [flushall, flushdb]
    action: trash
    keep: 24h
    limit: {rate: 1/m, burst: 1, per: user}
`

// The first FLUSHALL goes to the trash, the others are throttled, and UNDO brings all back.
func flushedWithTrash(s *scene) {
	s.begin(s.server(), trashRule)
	fill(s, s.addr, s.size())
	want := contentsOf(s, s.srv.Addr)
	if ok := s.flood(s.flushes()); ok != 1 {
		s.Fatalf("%d FLUSHALLs were answered OK", ok)
	}
	s.logs("journal: data is being destroyed", "FLUSHALL")
	s.alerts("HoldfastTrashed")
	s.ask("SHOW", "TRASH")
	s.run(0)
	s.holds(s.srv.Addr, want)
}

// Each FLUSHALL is executed; the data comes back from the journal as it was before the first.
func flushedWithout(s *scene) {
	s.begin(s.server(), "rules: []\n")
	fill(s, s.addr, s.size())
	s.marked() // so that the journal knows how many keys there are
	want := contentsOf(s, s.srv.Addr)
	if ok := s.flood(s.flushes()); ok != s.flushes() {
		s.Fatalf("%d FLUSHALLs were answered OK", ok)
	}
	later(s, s.addr, 3)
	s.recorded()
	s.logs("journal: data is being destroyed", "FLUSHALL")
	s.alerts("HoldfastDataDestroyed")
	s.theReadme(want)
	stop, acknowledged := make(chan struct{}), make(chan []string)
	go func() { acknowledged <- s.writeUntil(stop) }()
	s.run(0)
	close(stop)
	keys := <-acknowledged
	s.answered("SET", "later:now", "1")
	now := contentsOf(s, s.srv.Addr)
	for _, key := range append(keys, "later:0", "later:2") {
		if now["0 "+key] == "" {
			s.Fatalf("%s was answered OK, of %d, and is not there", key, len(keys))
		}
	}
	mine := func(name string) bool { return strings.HasPrefix(name, "0 later:") }
	s.holds(s.srv.Addr, want.with(now, mine))
}

// writeUntil is a client that writes on, whatever it is answered. It returns the keys that were
// answered OK.
func (s *scene) writeUntil(stop <-chan struct{}) (keys []string) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return keys
		default:
		}
		key := "later:live:" + strconv.Itoa(i)
		if v, err := s.command("SET", key, "1"); err == nil && v == "OK" {
			keys = append(keys, key)
		}
	}
}

// theReadme plays the README's command for the same incident.
func (s *scene) theReadme(want contents) {
	s.Helper()
	page := s.at
	defer func() { s.at = page }()
	s.at = s.readme
	dst := s.target()
	s.name("bin/proxy", "proxy")
	if out, err := s.look(0); err != nil {
		s.Fatal(err, out)
	}
	s.holds(dst.Addr, want)
}
