package candidates

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// scene is a Watcher with scripted servers.
type scene struct {
	*testing.T
	*Watcher

	mu      sync.Mutex
	info    map[string]string // INFO by address, as in "role:master,…"; absent: it refuses connections
	asked   map[string]int
	open    int
	changes int
}

func newScene(t *testing.T, change ...func(*Options)) *scene {
	s := &scene{T: t, info: map[string]string{}, asked: map[string]int{}}
	o := Options{Addresses: []string{"A:1", "B:1"}, Open: s.connect, Interval: 5 * time.Millisecond,
		Hurry: time.Millisecond, Logger: slog.New(slog.DiscardHandler), OnChange: func(*View) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changes++
		}}
	for _, c := range change {
		c(&o)
	}
	s.Watcher = New(o)
	s.places.Lookup = s.lookup
	return s
}

func (s *scene) start() *scene {
	s.Start(s.Context())
	s.Cleanup(func() {
		s.Stop()
		if s.open != 0 {
			s.Errorf("%d connections are left", s.open)
		}
	})
	return s
}

// set is the INFO of the server at an address; "": it goes away.
func (s *scene) set(address, info string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info == "" {
		delete(s.info, address)
		return
	}
	s.info[address] = info
}

// lookup knows one name.
func (s *scene) lookup(_ context.Context, name string) ([]netip.Addr, error) {
	if name != "b.example" {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr("10.1.1.2")}, nil
}

func (s *scene) connect(_ context.Context, address string) (Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info[address] == "" {
		return nil, errors.New("refused")
	}
	s.open++
	return &scripted{s, address}, nil
}

type scripted struct {
	s       *scene
	address string
}

func (c *scripted) Info(sections ...string) (map[string]string, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.asked[c.address]++
	text := c.s.info[c.address]
	if text == "" {
		return nil, errors.New("broken")
	}
	out := map[string]string{"run_id": "run of " + c.address}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, ":")
		out[key] = value
	}
	return out, nil
}

func (c *scripted) Close() {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.open--
}

func (s *scene) await(what string, cond func(*View) bool) *View {
	s.Helper()
	proxytest.Poll(s, what, func() bool { return cond(s.View()) })
	return s.View()
}

func (s *scene) timesAsked(address string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[address]
}

// again waits until both are asked twice more, so that the present accounts are judged.
func (s *scene) again() {
	s.Helper()
	for _, a := range []string{"A:1", "B:1"} {
		n := s.timesAsked(a)
		proxytest.Poll(s, "it is asked", func() bool { return s.timesAsked(a) > n+1 })
	}
}

const (
	primaryA   = "role:master,master_replid:1,master_replid2:0000,master_repl_offset:7"
	replicaB   = "role:slave,master_replid:1,master_replid2:0000,master_host:A,master_port:1,master_link_status:up,slave_repl_offset:7"
	promotedB  = "role:master,master_replid:2,master_replid2:1,total_net_repl_input_bytes:0"
	restartedB = promotedB + ",run_id:another"
)

func TestWatcherFollowsAPromotion(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	s.set("B:1", replicaB)
	s.start()
	if got, err := s.Await(t.Context()); got != "A:1" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	v := s.await("both", func(v *View) bool { return v.Heard() == 2 })
	if len(v.Troubles()) > 0 || v.Masters() != 1 || !v.Candidates[1].Replicates {
		t.Errorf("got %+v, troubles %q", v, v.Troubles())
	}
	s.set("A:1", "")
	s.await("the trouble", func(v *View) bool {
		return strings.Contains(strings.Join(v.Troubles(), "\n"), "candidate A:1 does not answer: ")
	})
	s.set("B:1", promotedB) // that this process was a replica was seen
	v = s.await("B", func(v *View) bool { return v.Primary == "B:1" })
	if !strings.Contains(v.Why, "promoted from the history of A:1") {
		t.Errorf("got %+v", v)
	}
	s.set("A:1", primaryA)
	v = s.await("two primaries", func(v *View) bool { return len(v.Against) > 0 })
	if v.Primary != "B:1" || v.Doubt != "" || v.Masters() != 2 {
		t.Errorf("got %+v", v)
	}
}

// A replica that is started again as a primary has the same ids as a promoted one.
func TestWatcherTellsARestartFromAPromotion(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	s.set("B:1", replicaB)
	s.start()
	s.await("B is seen as a replica", func(v *View) bool { return v.Primary == "A:1" && v.Heard() == 2 })
	s.set("B:1", restartedB)
	v := s.await("it is seen", func(v *View) bool { return len(v.Against) > 0 })
	if v.Primary != "A:1" || v.Doubt != "" || !strings.Contains(v.Against[0], "not promoted") {
		t.Errorf("got %+v", v)
	}
	s.set("A:1", "")
	s.await("A is away", func(v *View) bool { return v.Heard() == 1 })
	n := s.timesAsked("B:1")
	proxytest.Poll(t, "B is asked", func() bool { return s.timesAsked("B:1") > n+1 })
	if v := s.View(); v.Primary != "A:1" {
		t.Errorf("got %+v", v)
	}
	s.set("B:1", restartedB+",total_net_repl_input_bytes:9") // unseen, it was a replica for a while
	s.await("B", func(v *View) bool { return v.Primary == "B:1" })
}

// At the start no candidate is taken before all have answered: the first to answer may be an old primary.
func TestWatcherStartsWithAllOpinions(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	hold := make(chan struct{})
	open := s.o.Open
	s.o.Open = func(ctx context.Context, address string) (Conn, error) {
		if address == "B:1" {
			<-hold
		}
		return open(ctx, address)
	}
	s.set("B:1", promotedB+",total_net_repl_input_bytes:9")
	s.start()
	proxytest.Poll(t, "A is asked", func() bool { return s.timesAsked("A:1") > 1 })
	v := s.View()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Await(ended); v.Primary != "" || err == nil || !strings.Contains(err.Error(), "B:1 has not answered yet") {
		t.Errorf("got %+v, %v", v, err)
	}
	close(hold)
	if got, err := s.Await(t.Context()); got != "B:1" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Servers that cannot be judged say nothing.
func TestWatcherTakesNoHalfAnswer(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA+",loading:1")
	s.set("B:1", "redis_mode:sentinel")
	s.start()
	v := s.Settle(t.Context())
	s.again()
	if v.Primary != "" || v.Heard() != 0 {
		t.Errorf("got %+v", v)
	}
	for _, want := range []string{"it is loading its data", "it is a sentinel"} {
		if got := v.Reason(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	s.set("B:1", "role:master")
	s.await("no history", func(v *View) bool { return strings.Contains(v.Reason(), "no role") })
	s.set("A:1", primaryA)
	s.await("A", func(v *View) bool { return v.Primary == "A:1" })
}

// At the start, a server that loads its data as a primary is waited for, and one that loads as a replica is not.
func TestWatcherStartsBesideOneThatLoads(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	s.set("B:1", promotedB+",loading:1")
	s.start()
	s.Settle(t.Context())
	s.again()
	if v := s.View(); v.Primary != "" || !strings.Contains(v.Why, "B:1 is loading its data") {
		t.Fatalf("got %+v", v)
	}
	s.set("B:1", replicaB+",loading:1")
	s.await("A", func(v *View) bool { return v.Primary == "A:1" })
}

// A Watcher that takes the place of another one knows the history: an old primary is not taken because the
// present one is silent.
func TestWatcherGoesOn(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	s.set("B:1", replicaB)
	s.start()
	s.await("A", func(v *View) bool { return v.Primary == "A:1" && v.Heard() == 2 })
	s.set("B:1", promotedB)
	s.await("B", func(v *View) bool { return v.Primary == "B:1" })
	sent, err := json.Marshal(s.Known())
	var known *Known
	if err == nil {
		err = json.Unmarshal(sent, &known)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Known{s.Known(), known} {
		next := newScene(t, func(o *Options) { o.Known = k })
		next.set("A:1", primaryA)
		next.start()
		if got, err := next.Await(t.Context()); got != "B:1" || err != nil {
			t.Errorf("while B is silent: %q, %v", got, err)
		}
		next.set("A:1", "role:master,master_replid:3,master_replid2:2,total_net_repl_input_bytes:9")
		next.await("A, that was promoted from B", primaryIs("A:1"))
	}
	// One that has not the primary any more: its history is evidence, while a candidate is silent.
	next := newScene(t, func(o *Options) { o.Addresses, o.Known = []string{"A:1", "C:1"}, s.Known() })
	next.set("A:1", primaryA)
	next.start()
	if v := next.Settle(t.Context()); v.Primary != "" || !strings.Contains(v.Why, "older than the last one of B:1") {
		t.Errorf("an old primary: %+v", v)
	}
	next.set("C:1", replicaB)
	next.await("A, as both say", primaryIs("A:1"))
}

func primaryIs(address string) func(*View) bool {
	return func(v *View) bool { return v.Primary == address }
}

// Look has all of them asked at once, and a doubt likewise, and then in a hurry.
func TestWatcherLooks(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Interval, o.Hurry, o.Renew = time.Hour, 10*time.Millisecond, time.Nanosecond })
	s.set("A:1", primaryA)
	s.set("B:1", replicaB)
	s.start()
	s.await("A", func(v *View) bool { return v.Primary == "A:1" })
	s.set("A:1", "role:slave,master_replid:1,master_host:B,master_port:1,master_link_status:down")
	n := s.timesAsked("B:1")
	s.Look()
	s.await("the doubt", func(v *View) bool { return v.Certain })
	proxytest.Poll(t, "B is asked", func() bool { return s.timesAsked("B:1") > n })
	if v := s.View(); v.Next != "B:1" || !strings.Contains(v.Doubt, "A:1 says that it is a replica of B:1") {
		t.Errorf("got %+v", v)
	}
	s.set("B:1", promotedB)
	s.await("B, in a hurry", func(v *View) bool { return v.Primary == "B:1" && v.Doubt == "" })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes < 3 {
		t.Errorf("%d changes were reported", s.changes)
	}
}

// An offset is no news.
func TestWatcherReportsNews(t *testing.T) {
	s := newScene(t)
	s.set("A:1", primaryA)
	s.set("B:1", replicaB)
	s.start()
	s.await("both", func(v *View) bool { return v.Heard() == 2 && v.Primary == "A:1" })
	s.again()
	before := func() int { s.mu.Lock(); defer s.mu.Unlock(); return s.changes }
	n := before()
	s.set("A:1", primaryA+",master_repl_offset:9")
	s.await("the offset", func(v *View) bool { return v.Candidates[0].Offset == 9 })
	s.again()
	if got := before(); got != n {
		t.Errorf("%d changes were reported", got-n)
	}
}

// A replica, and a record, have another address of a server than the list.
func TestWatcherKnowsAServerByItsName(t *testing.T) {
	s := newScene(t, func(o *Options) { o.Addresses = []string{"10.1.1.1:1", "10.1.1.2:1"} })
	s.set("10.1.1.1:1", "role:master,master_replid:1")
	s.set("10.1.1.2:1", "role:slave,master_host:10.1.1.1,master_port:1,master_replid:1,master_link_status:up")
	s.start()
	s.await("the primary", func(v *View) bool { return v.Primary == "10.1.1.1:1" })
	s.set("10.1.1.1:1", "role:slave,master_host:b.example,master_port:1,master_replid:1,master_link_status:down")
	s.await("the next one", func(v *View) bool { return v.Next == "10.1.1.2:1" && v.Certain })
	s.set("10.1.1.2:1", "role:master,master_replid:7") // and its history says nothing
	s.await("that it is one", func(v *View) bool {
		return v.Primary == "10.1.1.2:1" && v.Candidates[0].Replicates && !v.Candidates[1].Replicates
	})

	s = newScene(t, func(o *Options) {
		o.Addresses, o.Known = []string{"10.1.1.1:1", "10.1.1.2:1"}, Recorded([]string{"1", "2"}, "b.example:1")
	})
	s.set("10.1.1.1:1", "role:master,master_replid:9")
	s.start()
	if v := s.Settle(t.Context()); v.Primary != "" || !strings.Contains(v.Why, "10.1.1.2:1 was the primary last") {
		t.Errorf("beside a record: %+v", v)
	}
}
