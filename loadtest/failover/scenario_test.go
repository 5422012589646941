package failover

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
)

// A scenario is a failure and what must hold after it.
type scenario struct {
	name    string
	short   bool // part of the short form
	proxies int
	servers []string // that have it; nil: all
	// proven lists the kinds of which nothing may be lost, whatever takes how long. Of those of keeps
	// nothing may be lost if the proxy gets its processor time: it holds the writes back within 100 ms
	// of the first sign, and feeds the replicas before one of them is promoted.
	proven, keeps []*kind
	stays         bool   // the primary stays the primary
	errorless     bool   // plain clients see no error, under the condition of keeps
	apart         bool   // the primary and the first proxy are in a network of their own
	byHand        bool   // no sentinels: an operator fails over
	settings      string // of the proxies, YAML
	strike        func(*round)
}

// A variant is a setting of the proxies.
type variant struct {
	hold     string
	settings string // YAML
}

// all are the kinds that go through the proxy.
var all = []*kind{plain, journal, one, every}

// scenarios in the order of the table. A crash keeps what every replica has, and what a journal has that
// reaches the replicas.
var scenarios = []scenario{
	{name: "SENTINEL FAILOVER", short: true, proxies: 1, proven: []*kind{every}, keeps: all, errorless: true,
		strike: planned},
	{name: "SENTINEL FAILOVER COORDINATED", proxies: 1, servers: []string{"valkey9"}, proven: all, errorless: true,
		strike: coordinated},
	{name: "SENTINEL FAILOVER, two proxies", proxies: 2, proven: []*kind{every}, keeps: all, errorless: true,
		strike: planned},
	{name: "FAILOVER on the console", short: true, proxies: 1, proven: all, keeps: []*kind{direct}, errorless: true,
		strike: byConsole},
	{name: "FAILOVER on the console, two proxies", proxies: 2, proven: all, keeps: []*kind{direct}, errorless: true,
		strike: byConsole},
	{name: "SENTINEL FAILOVER, until the old primary is demoted", proxies: 1, proven: []*kind{every}, keeps: all,
		errorless: true, strike: untilDemoted},
	{name: "the same with failover.fence: off", proxies: 1, proven: []*kind{every}, keeps: all, errorless: true,
		settings: "failover: {fence: off}\n", strike: untilDemoted},
	{name: "kill -9 of the primary", short: true, proxies: 1, proven: []*kind{every}, keeps: []*kind{journal}, strike: kill},
	{name: "kill -9, link to the replicas cut before, up to 50 MB behind", proxies: 1, proven: []*kind{one, every}, keeps: []*kind{journal},
		strike: cutAndKill},
	{name: "SIGSTOP of the primary, SIGCONT after the failover", proxies: 1, proven: []*kind{every},
		keeps: []*kind{journal}, strike: stopAndContinue},
	{name: "SIGSTOP of the primary, SIGCONT once a replica is promoted", proxies: 1, proven: []*kind{every},
		keeps: []*kind{journal}, strike: stopUntilPromoted},
	{name: "SIGSTOP of the primary for half of down-after", proxies: 1, proven: all, stays: true, errorless: true,
		strike: hiccup},
	{name: "kill -9 of the primary and of one of two proxies", proxies: 2, proven: []*kind{every}, keeps: []*kind{journal},
		strike: killBoth},
	{name: "the primary and one of two proxies are cut off", proxies: 2, apart: true, proven: []*kind{one, every},
		strike: cutOff},
	{name: "kill -9 of a sentinel, then SENTINEL FAILOVER", proxies: 1, proven: []*kind{every}, keeps: all,
		errorless: true, strike: killSentinel},
	{name: "by hand, without sentinels", short: true, byHand: true, proxies: 2, proven: all, keeps: []*kind{direct},
		errorless: true, strike: byHand},
	{name: "by hand, without a pause", byHand: true, proxies: 2, proven: []*kind{every}, strike: byHandAtOnce},
	{name: "kill -9 of the primary, by hand", byHand: true, proxies: 2, proven: []*kind{one, every}, strike: killByHand},
}

// planned asks a sentinel for a failover.
func planned(r *round) { r.failOver(1) }

// byConsole asks a proxy for a failover, once it knows of the replicas.
func byConsole(r *round) {
	r.Helper()
	proxytest.Poll(r.T, "the failover on the console", func() bool {
		r.load.strike()
		text, err := r.proxies[0].ask("FAILOVER")
		if err != nil {
			r.Log(err)
		}
		r.Log(text)
		return err == nil
	})
}

// untilDemoted lasts as long as clients that go round the proxy can write to the old primary.
func untilDemoted(r *round) {
	planned(r)
	r.demoted()
}

// demoted waits until the old primary is a replica.
func (r *round) demoted() {
	r.Helper()
	proxytest.Poll(r.T, "the old primary to be demoted", func() bool { return role(r.Primary) == "slave" })
}

func coordinated(r *round) { r.failOver(1, "COORDINATED") }

// failOver asks a sentinel until it begins: it refuses while it sees no replica that is fit.
func (r *round) failOver(sentinel int, more ...any) {
	r.Helper()
	args := append([]any{"SENTINEL", "FAILOVER", proxytest.TrioName}, more...)
	proxytest.Poll(r.T, "a sentinel to begin the failover", func() bool {
		r.load.strike()
		_, err := r.Sentinels[sentinel].Do(args...)
		if err != nil {
			r.Log(err)
		}
		return err == nil
	})
}

func kill(r *round) {
	r.load.strike()
	r.Primary.Kill()
}

// cutAndKill has the clients write a tail that no replica has, and fills it up to a random size.
func cutAndKill(r *round) {
	r.Primary.MustDo("ACL", "SETUSER", replicationUser, "off")
	r.Primary.MustDo("CLIENT", "KILL", "USER", replicationUser)
	r.more(20, plain, journal)
	size := fillSize
	if r.full {
		size = rand.IntN(tailMax)
	}
	r.fill(size)
	kill(r)
}

// tailMax bounds the tail that only a journal has, and fillSize is the size of the values that fill it.
const tailMax, fillSize = 50 << 20, 256 << 10

// fill writes size bytes of acknowledged values to the route journal.
func (r *round) fill(size int) {
	r.Helper()
	c, err := harness.DialClient(r.proxies[0].addr, patience)
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	value := strings.Repeat("x", fillSize)
	for r.filled < size {
		n := min(size-r.filled, fillSize)
		if v, err := c.Must("SET", fillKey(r.fills), value[:n]); err != nil {
			r.Fatal(v, err)
		}
		r.fills, r.filled = r.fills+1, r.filled+n
	}
}

func fillKey(n int) string { return fmt.Sprintf("journal:fill:%d", n) }

// unfilled is the number of bytes of fill that a server lacks.
func (r *round) unfilled(srv *proxytest.Server) int {
	r.Helper()
	lacks := r.filled
	for i := range r.fills {
		n, _ := srv.MustDo("STRLEN", fillKey(i)).(int64)
		lacks -= int(n)
	}
	return lacks
}

// byHand is the failover that the documentation describes. The old primary is demoted first, so that the writes that wait
// there go to the new one.
func byHand(r *round) {
	r.load.strike()
	r.Primary.MustDo("CLIENT", "PAUSE", 60000, "WRITE")
	end, heir := offset(r.Primary), r.Replicas[0]
	proxytest.Poll(r.T, "the replica to have everything", func() bool { return offset(heir) >= end })
	replicate(r.Primary, heir)
	r.Primary.MustDo("CLIENT", "UNPAUSE")
	r.promote(heir)
}

// byHandAtOnce pauses nothing.
func byHandAtOnce(r *round) {
	r.load.strike()
	r.promote(r.Replicas[0])
	replicate(r.Primary, r.Replicas[0])
}

// killByHand has the operator promote the replica that has the most.
func killByHand(r *round) {
	kill(r)
	heir := r.Replicas[0]
	for _, replica := range r.Replicas {
		proxytest.Poll(r.T, "a replica to notice", func() bool { return replica.Info("replication")["master_link_status"] == "down" })
		if offset(replica) > offset(heir) {
			heir = replica
		}
	}
	r.promote(heir)
}

// promote makes a replica the primary, and the other one its replica.
func (r *round) promote(heir *proxytest.Server) {
	r.Helper()
	heir.MustDo("REPLICAOF", "NO", "ONE")
	r.byHand.Store(heir)
	for _, replica := range r.Replicas {
		if replica != heir {
			replicate(replica, heir)
		}
	}
}

func replicate(replica, primary *proxytest.Server) {
	host, port, _ := net.SplitHostPort(primary.Addr)
	replica.MustDo("REPLICAOF", host, port)
}

// offset is a server's place in its history.
func offset(srv *proxytest.Server) int64 {
	info := srv.Info("replication")
	n, _ := strconv.ParseInt(cmp.Or(info["slave_repl_offset"], info["master_repl_offset"]), 10, 64)
	return n
}

func stopAndContinue(r *round) {
	r.load.strike()
	r.Primary.Pause()
	r.moved()
	r.more(5, plain)
	r.Primary.Resume()
	r.demoted()
}

// stopUntilPromoted lets the old primary go on before the sentinels announce the new one.
func stopUntilPromoted(r *round) {
	r.load.strike()
	r.Primary.Pause()
	proxytest.Poll(r.T, "a replica to be promoted", func() bool {
		return slices.ContainsFunc(r.Replicas, func(srv *proxytest.Server) bool { return role(srv) == "master" })
	})
	r.Primary.Resume()
}

// hiccup is a false alarm: nothing may come of it.
func hiccup(r *round) {
	before := r.epochs()
	r.load.strike()
	r.Primary.Pause()
	time.Sleep(500 * time.Millisecond) // the time is the failure
	r.Primary.Resume()
	r.more(10, all...)
	if after := r.epochs(); after != before {
		r.Errorf("the false alarm had consequences: %s; before: %s", after, before)
	}
}

// epochs is what a failover or a lost link changes.
func (r *round) epochs() string {
	r.Helper()
	text := "full resynchronizations " + r.Primary.Info("stats")["sync_full"] + ", epochs"
	for _, w := range r.Sentinels {
		m, _ := w.MustDo("SENTINEL", "MASTER", proxytest.TrioName).(map[any]any)
		text += fmt.Sprint(" ", m["config-epoch"])
	}
	return text
}

func killBoth(r *round) {
	r.load.strike()
	r.proxies[0].proc.Kill()
	r.Primary.Kill()
}

// cutOff has clients write on both sides of a broken network. Where the old primary is, no write reaches a replica, and
// durable routes refuse all of them as soon as the proxy there notices.
func cutOff(r *round) {
	r.Helper()
	r.load.strike()
	r.island.cut()
	r.moved()
	proxytest.Poll(r.T, "durable routes to refuse writes on the old primary's side", func() bool {
		text, err := r.proxies[0].ask("SHOW", "ROUTES")
		return err == nil && strings.Contains(text, "may be cut off")
	})
	r.more(5, plain)
	r.island.heal()
	r.demoted()
}

func killSentinel(r *round) {
	r.Sentinels[0].Kill()
	r.more(5, plain)
	r.failOver(1)
}
