package sentinel

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

const (
	serverA = "10.1.1.1:6379"
	serverB = "10.1.1.2:6379"
	serverC = "10.1.1.3:6379"
)

// servers are servers that say their role.
type servers struct {
	mu    sync.Mutex
	roles map[string]string // "master history<continues", "slave of address"
	asked []string
}

func (s *servers) set(address, role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[address] = role
}

func (s *servers) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *servers) standing(_ context.Context, address string) (out upstream.Standing, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, address)
	if s.roles[address] == "" {
		return out, errors.New("unreachable")
	}
	return standingOf(s.roles[address]), nil
}

// scene is a Watcher with fake sentinels and servers: A is a primary, B a replica.
type scene struct {
	*testing.T
	*Watcher
	s       []*proxytest.FakeSentinel
	servers *servers

	mu    sync.Mutex
	views []*View
}

func newScene(t *testing.T, sentinels, configured int) *scene {
	t.Helper()
	sc := &scene{T: t, servers: &servers{roles: map[string]string{serverA: "master", serverB: "slave"}}}
	var addresses []string
	for i := range sentinels {
		s := proxytest.StartFakeSentinel(t, "id"+string(rune('1'+i)), serverA)
		sc.s = append(sc.s, s)
		if i < configured {
			addresses = append(addresses, s.Addr)
		}
	}
	sc.listAll(sc.s...)
	sc.Watcher = New(Options{
		Addresses: addresses, Name: "m", Standing: sc.servers.standing, Interval: 20 * time.Millisecond,
		Hurry: 5 * time.Millisecond, Timeout: time.Minute, MaxBackoff: 10 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
		OnChange: func(v *View) {
			sc.mu.Lock()
			defer sc.mu.Unlock()
			sc.views = append(sc.views, v)
		},
	})
	return sc
}

// listAll has sentinels list each other.
func (sc *scene) listAll(all ...*proxytest.FakeSentinel) {
	for _, s := range all {
		s.List(slices.DeleteFunc(slices.Clone(all), func(o *proxytest.FakeSentinel) bool { return o == s })...)
	}
}

func (sc *scene) start() *scene {
	sc.Start(sc.Context())
	sc.Cleanup(sc.Stop)
	return sc
}

func (sc *scene) await(what string, cond func(*View) bool) *View {
	sc.Helper()
	proxytest.Poll(sc, what, func() bool { return cond(sc.View()) })
	return sc.View()
}

func primaryIs(address string) func(*View) bool {
	return func(v *View) bool { return v.Primary == address && v.Doubt == "" }
}

func TestWatcherFindsThePrimary(t *testing.T) {
	sc := newScene(t, 3, 3).start()
	got, err := sc.Await(t.Context())
	if got != serverA || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	v := sc.await("all three", func(v *View) bool { return v.Votes == 3 && v.Heard() == 3 })
	if v.Of != 3 || v.Quorum != 2 || v.Doubt != "" || len(v.Troubles()) > 0 {
		t.Errorf("got %+v, troubles %q", v, v.Troubles())
	}
}

// The first sign shows before any address changes, and the old primary keeps its place until both
// the sentinels and the new one say so.
func TestWatcherFollowsAFailover(t *testing.T) {
	sc := newScene(t, 3, 3).start()
	sc.await("A", primaryIs(serverA))
	sc.s[0].Flag("master,failover_in_progress")
	sc.await("the first sign", func(v *View) bool {
		return v.Primary == serverA && !v.Certain && strings.Contains(v.Doubt, "leads a failover")
	})
	sc.s[0].Promote(serverB)
	sc.s[1].Name(serverB)
	sc.await("the candidate", func(v *View) bool {
		return v.Primary == serverA && v.Certain && v.Candidate == serverB
	})
	sc.servers.set(serverB, "master")
	sc.await("B", primaryIs(serverB)) // although the first still leads the failover of A
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, v := range sc.views {
		if v.Primary == serverB && v.Votes < 2 {
			t.Errorf("B with %d votes", v.Votes)
		}
	}
}

// An event is a sign at once, and has the sentinel asked again, which may withdraw it.
func TestWatcherTakesEvents(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.o.Interval = time.Hour
	sc.start()
	sc.await("A", func(v *View) bool { return v.Primary == serverA && v.Heard() == 3 })
	for _, row := range [][2]string{
		{"+try-failover", "master other 10.1.1.1 6379"}, {"+sdown", "slave 10.1.1.2:6379 10.1.1.2 6379 @ other 10.1.1.1 6379"},
		{"+try-failover", ""}, {"+odown", "master"}, {"+odown", "x y"},
	} {
		sc.s[1].Publish(row[0], row[1])
	}
	asked := sc.s[0].Asked()
	sc.s[0].Publish("+try-failover", "master m 10.1.1.1 6379")
	proxytest.Poll(t, "the sign", func() bool {
		sc.mu.Lock()
		defer sc.mu.Unlock()
		return slices.ContainsFunc(sc.views, func(v *View) bool {
			return strings.Contains(v.Doubt, sc.s[0].Addr+" leads a failover")
		})
	})
	sc.await("that it is withdrawn", primaryIs(serverA))
	if sc.s[0].Asked() == asked {
		t.Error("it was not asked again")
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, v := range sc.views {
		if strings.Contains(v.Doubt, sc.s[1].Addr) {
			t.Errorf("an event about another primary: %s", v.Doubt)
		}
	}
}

func TestWatcherOutvotesALiar(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.s[2].Name(serverB)
	sc.servers.set(serverB, "master")
	sc.start()
	v := sc.await("A, by two", func(v *View) bool { return v.Primary == serverA && v.Heard() == 3 })
	if len(v.Outvoted) != 1 || !strings.Contains(v.Outvoted[0], sc.s[2].Addr) {
		t.Errorf("outvoted: %q", v.Outvoted)
	}
	if all := strings.Join(v.Troubles(), "\n"); !strings.Contains(all, "outvoted") {
		t.Errorf("troubles: %q", all)
	}
	sc.servers.mu.Lock()
	defer sc.servers.mu.Unlock()
	if slices.Contains(sc.servers.asked, serverB) {
		t.Error("the server that a minority names was asked")
	}
}

// Without a majority the primary stays, and a proxy that starts then has none.
func TestWatcherWithoutAMajority(t *testing.T) {
	sc := newScene(t, 3, 3).start()
	sc.await("A", primaryIs(serverA))
	sc.s[1].Close()
	sc.s[2].Close()
	sc.s[0].Name(serverB)
	sc.servers.set(serverB, "master")
	v := sc.await("one of three", func(v *View) bool {
		return v.Heard() == 1 && v.Sentinels[0].Names == serverB
	})
	if v.Primary != serverA || v.Certain {
		t.Errorf("got %+v", v)
	}
	if all := strings.Join(v.Troubles(), "\n"); !strings.Contains(all, "1 of 3 answer") ||
		!strings.Contains(all, sc.s[1].Addr+" does not answer") {
		t.Errorf("troubles: %q", all)
	}
	late := New(sc.o)
	late.Start(t.Context())
	defer late.Stop()
	proxytest.Poll(t, "it asks", func() bool { return late.View().Heard() == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := late.Await(ctx); err == nil || !strings.Contains(err.Error(), "1 of 3 sentinels answer") {
		t.Errorf("got %q, %v", got, err)
	}
}

// A majority that is silent may promote a replica, if there is one.
func TestWatcherIsDeaf(t *testing.T) {
	sc := newScene(t, 3, 3)
	for _, s := range sc.s {
		s.Replicas(serverB)
	}
	sc.start()
	sc.await("A", primaryIs(serverA))
	deaf := func(text string) func(*View) bool { return func(v *View) bool { return v.Deaf == text } }
	sc.s[2].Close()
	sc.await("two of three", func(v *View) bool { return v.Heard() == 2 && v.Deaf == "" })
	sc.s[1].Close()
	sc.await("one of three", deaf("1 of 3 sentinels answer"))
	sc.s[0].Replicas()
	sc.await("no replica", deaf(""))
	sc.s[0].Replicas(serverB)
	sc.await("a replica", deaf("1 of 3 sentinels answer"))
	sc.s[0].Close()
	sc.await("none of three", deaf("0 of 3 sentinels answer"))
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if last := sc.views[len(sc.views)-1]; last.Deaf == "" {
		t.Error("the change was not reported")
	}
}

func TestWatcherLearnsAndForgets(t *testing.T) {
	sc := newScene(t, 4, 2).start()
	v := sc.await("four", func(v *View) bool { return v.Of == 4 && v.Heard() == 4 })
	if v.Sentinels[3].Configured || !v.Sentinels[3].Counts {
		t.Errorf("got %+v", v.Sentinels)
	}
	sc.listAll(sc.s[:3]...)
	sc.await("three", func(v *View) bool { return v.Of == 3 && len(v.Sentinels) == 3 })
	sc.s[2].Close() // still listed
	sc.await("two of three", func(v *View) bool { return v.Of == 3 && v.Heard() == 2 })
}

// The same sentinel under another address does not get a second vote.
func TestWatcherCountsASentinelOnce(t *testing.T) {
	sc := newScene(t, 3, 3)
	_, port, _ := strings.Cut(sc.s[2].Addr, ":")
	sc.o.Addresses = append(sc.o.Addresses, "localhost:"+port)
	sc.start()
	sc.await("three", func(v *View) bool {
		return v.Primary == serverA && v.Of == 3 && len(v.Sentinels) == 4 && v.Sentinels[3].Heard
	})
}

func TestWatcherOfASilentSentinel(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.o.Timeout = 50 * time.Millisecond
	sc.start()
	sc.await("three", func(v *View) bool { return v.Heard() == 3 })
	sc.s[0].Silence(true)
	sc.await("two", func(v *View) bool { return v.Heard() == 2 && v.Primary == serverA })
	sc.s[0].Silence(false)
	sc.await("three again", func(v *View) bool { return v.Heard() == 3 })
}

func TestWatcherReportsRefusals(t *testing.T) {
	sc := newScene(t, 1, 1)
	sc.s[0].Refuse("WRONGPASS invalid")
	sc.start()
	v := sc.await("the refusal", func(v *View) bool { return v.Sentinels[0].Err != "" })
	if text := v.Troubles()[0]; !strings.Contains(text, "HELLO 3: WRONGPASS invalid") {
		t.Errorf("got %q", text)
	}
	sc.s[0].Refuse("")
	sc.await("A", primaryIs(serverA))
	sc.s[0].Name("") // it forgets the name
	v = sc.await("no name", func(v *View) bool { return v.Sentinels[0].Names == "" })
	if v.Primary != serverA {
		t.Errorf("got %+v", v)
	}
}

// A primary that hands over to its replica is left before the sentinels say so, and both facts are reported.
func TestWatcherFollowsAHandover(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.servers.set(serverA, "master 1")
	for _, s := range sc.s {
		s.Replicas(serverB, serverC)
	}
	sc.places.Lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
		if name != "b.example" {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{netip.MustParseAddr("10.1.1.2")}, nil
	}
	sc.start()
	sc.await("A", func(v *View) bool { return primaryIs(serverA)(v) && v.Heard() == 3 })
	sc.servers.set(serverB, "master 2<1")
	sc.servers.set(serverA, "slave b.example:6379")
	v := sc.await("B", primaryIs(serverB))
	if v.From != serverA || v.Handed.IsZero() || v.Votes != 3 {
		t.Errorf("got %+v", v)
	}
	if want := []Replica{{serverC, true}, {serverA, false}}; !slices.Equal(v.Replicas, want) {
		t.Errorf("its replicas are %+v, want %+v", v.Replicas, want)
	}
	for _, s := range sc.s {
		s.Name(serverB)
	}
	sc.await("that the sentinels follow", func(v *View) bool { return v.From == "" && v.Handed.IsZero() && v.Primary == serverB })
	proxytest.Poll(t, "that to be reported", func() bool {
		sc.mu.Lock()
		defer sc.mu.Unlock()
		return sc.views[len(sc.views)-1].From == ""
	})
}

// The primary's own role counts, whatever the sentinels say.
func TestWatcherDoubtsADemotedPrimary(t *testing.T) {
	sc := newScene(t, 3, 3).start()
	sc.await("A", primaryIs(serverA))
	sc.servers.set(serverA, "slave")
	sc.await("the doubt", func(v *View) bool {
		return v.Primary == serverA && v.Certain && strings.Contains(v.Doubt, "says that it is a replica")
	})
	sc.servers.set(serverA, "")
	before := len(sc.servers.heard())
	proxytest.Poll(t, "two silent answers", func() bool { return len(sc.servers.heard()) > before+2 })
	if v := sc.View(); !v.Certain || v.Primary != serverA {
		t.Errorf("in its silence: %+v", v)
	}
	sc.servers.set(serverA, "master")
	sc.await("A again", primaryIs(serverA))
}

// Sentinels that have named another primary, and are too slow to say it again, have named it nevertheless: a client's
// write to the old one would be lost.
func TestWatcherDoubtsInSilence(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.o.Timeout = 200 * time.Millisecond
	sc.start()
	sc.await("A", primaryIs(serverA))
	for _, s := range sc.s {
		s.Name(serverB)
	}
	sc.await("the doubt", func(v *View) bool { return v.Certain && v.Candidate == serverB && v.Votes == 3 })
	for _, s := range sc.s[1:] {
		s.Silence(true)
	}
	v := sc.await("the silence", func(v *View) bool { return v.Heard() == 1 })
	if !v.Certain || v.Primary != serverA || !strings.Contains(v.Doubt, "3 of 3 sentinels named "+serverB+" last") {
		t.Errorf("in the silence: %+v", v)
	}
	sc.s[0].Close()
	v = sc.await("none", func(v *View) bool { return v.Heard() == 0 })
	if !v.Certain {
		t.Errorf("without sentinels: %+v", v)
	}
	for _, s := range sc.s[1:] {
		s.Name(serverA)
		s.Silence(false)
	}
	sc.await("A again", primaryIs(serverA))
}

// A leader of a failover that is too slow to answer leads it nevertheless; one that is gone does not.
func TestWatcherOfASilentLeader(t *testing.T) {
	sc := newScene(t, 3, 3)
	sc.o.Timeout = 200 * time.Millisecond
	sc.start()
	sc.await("A", primaryIs(serverA))
	sc.s[0].Flag("master,failover_in_progress")
	sc.await("the doubt", func(v *View) bool { return v.Doubt != "" })
	sc.s[0].Silence(true)
	v := sc.await("the silence", func(v *View) bool { return v.Heard() == 2 })
	if !strings.Contains(v.Doubt, "leads a failover") || v.Certain {
		t.Errorf("in the silence: %+v", v)
	}
	sc.s[0].Close()
	sc.await("its end", primaryIs(serverA))
}

// The end of a failover is no end of the doubt: its leader names the new primary before the others do. A sentinel that
// names another server by an older epoch is outvoted.
func TestWatcherOfALeaderThatIsAhead(t *testing.T) {
	sc := newScene(t, 3, 3).start()
	sc.await("A", primaryIs(serverA))
	sc.s[2].Close()
	sc.s[0].Flag("master,failover_in_progress")
	sc.await("the doubt", func(v *View) bool { return strings.Contains(v.Doubt, "leads a failover") })
	sc.servers.set(serverB, "master")
	sc.s[0].Lead(serverB)
	v := sc.await("the end", func(v *View) bool { return v.Sentinels[0].Names == serverB })
	if !strings.Contains(v.Doubt, "names "+serverB) || v.Certain || v.Primary != serverA {
		t.Errorf("after the failover: %+v", v)
	}
	sc.s[1].Lead(serverB)
	sc.await("B", primaryIs(serverB))
	sc.mu.Lock()
	views := slices.Clone(sc.views)
	sc.mu.Unlock()
	for _, v := range views {
		if v.Primary == serverA && v.Doubt == "" && v.Sentinels[0].Names == serverB {
			t.Errorf("no doubt in between: %+v", v)
		}
	}
	sc.s[0].Name(serverC)
	v = sc.await("another opinion", func(v *View) bool { return v.Sentinels[0].Names == serverC })
	if v.Doubt != "" {
		t.Errorf("by an older epoch: %q", v.Doubt)
	}
}
