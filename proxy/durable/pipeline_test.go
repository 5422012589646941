package durable

import (
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

var oneReplica = policy.Demand{Replicas: 1}

func TestReplyWaitsForItsFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c, side := w.client(), w.links[0]
	if side.db != 15 {
		t.Errorf("the side link is in database %d", side.db)
	}
	c.writes("+OK\r\n")
	c.reads("$1\r\nx\r\n")
	if len(side.sent) != 0 {
		t.Errorf("sent before the turn ended: %q", side.sent)
	}
	w.turn()
	if got := strings.Join(side.sent, "|"); got != "info replication|set holdfast:fence 1|wait 1 1000|info replication" {
		t.Fatalf("sent: %q", got)
	}
	c.expect("")
	side.prove()
	c.expect("+OK\r\n$1\r\nx\r\n")
	if c.gate != nil || c.ack.State() != "confirmed" || c.ack.Proven() != oneReplica || w.outcome(telemetry.HoldConfirmed) != 1 {
		t.Errorf("gate %v, ack %+v, outcomes %v", c.gate, c.ack, w.counters.Routes[0].Outcomes)
	}
	w.empty()
}

// A fence proves the writes that were answered before it began, and no later one.
func TestFenceDoesNotCoverLaterReplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	first, second := w.client(), w.client()
	first.writes("+1\r\n")
	w.turn()
	second.writes("+2\r\n")
	w.turn()
	w.links[0].prove()
	first.expect("+1\r\n")
	second.expect("")
	w.links[0].prove()
	second.expect("+2\r\n")
}

// Every answer but the full one is inconclusive, and costs the replies nothing but time.
func TestInconclusiveFences(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string]func(w *world) []string{
		"no INFO":      func(w *world) []string { return []string{"-ERR no\r\n", "+OK\r\n", ":1\r\n", w.infoReply()} },
		"no mark":      func(w *world) []string { return []string{w.infoReply(), "-NOPERM no\r\n", ":1\r\n", w.infoReply()} },
		"an odd mark":  func(w *world) []string { return []string{w.infoReply(), ":0\r\n", ":1\r\n", w.infoReply()} },
		"odd count":    func(w *world) []string { return []string{w.infoReply(), "+OK\r\n", "$1\r\n1\r\n", w.infoReply()} },
		"no last INFO": func(w *world) []string { return []string{w.infoReply(), "+OK\r\n", ":1\r\n", "$-1\r\n"} },
		"no replica": func(w *world) []string {
			w.replicas = 0
			return []string{w.infoReply(), "+OK\r\n", ":0\r\n", w.infoReply()}
		},
	} {
		w := newWorld(t, oneReplica)
		c := w.client()
		c.writes("+OK\r\n")
		w.turn()
		w.links[0].answer(replies(w)...)
		w.turn()
		if c.got != "" || w.outcome(telemetry.HoldConfirmed) != 0 {
			t.Errorf("%s: got %q", name, c.got)
			continue
		}
		w.replicas = 1
		w.sleep(10 * time.Millisecond)
		if w.counters.Fences[0].Outcomes[telemetry.FenceProven] != 0 || len(w.links[0].sent) != 4 {
			t.Errorf("%s: no second fence: %q", name, w.links[0].sent)
			continue
		}
		w.links[0].prove()
		c.expect("+OK\r\n")
		w.empty()
	}
}

// WAIT counts journals: only INFO says how many replicas have the write.
func TestReplicasThatInfoDoesNotBearOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c, side := w.client(), w.links[0]
	c.writes("+OK\r\n")
	w.turn()
	w.lag = 1
	side.answer(w.infoReply(), "+OK\r\n", ":1\r\n", w.infoReply())
	w.turn()
	c.expect("")
	if len(side.sent) != 2 || side.sent[0] != "wait 2 1000" {
		t.Fatalf("sent: %q", side.sent)
	}
	w.lag = 0
	side.answer(":2\r\n", w.infoReply())
	w.turn()
	c.expect("+OK\r\n")
}

func TestBrokenLinkOfAFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	w.links[0].Fail(nil)
	w.sleep(10 * time.Millisecond)
	if len(w.links) != 2 {
		t.Fatalf("%d links", len(w.links))
	}
	c.expect("")
	w.links[1].connect()
	w.links[1].answer(w.hello())
	w.sleep(time.Millisecond)
	w.links[1].prove()
	c.expect("+OK\r\n")
	w.empty()
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+1\r\n")
	w.turn()
	w.sleep(500 * time.Millisecond)
	c.writes("+2\r\n")
	c.reads(":7\r\n")
	w.sleep(499 * time.Millisecond)
	c.expect("")
	w.sleep(time.Millisecond)
	if !strings.HasPrefix(c.got, "-UNCONFIRMED executed, but not proven durable within 1s: replicas 0 of 1;") ||
		strings.Count(c.got, "\r\n") != 1 || c.ack.State() != "unconfirmed" {
		t.Fatalf("got %q, %+v", c.got, c.ack)
	}
	c.got = ""
	w.links[0].prove() // too late for the first
	c.expect("")
	w.links[0].prove()
	c.expect("+2\r\n:7\r\n")
	if n := w.counters.Routes[0]; n.Late != 1 || n.Held != 0 {
		t.Errorf("late %d, held %d", n.Late, n.Held)
	}
	w.empty()
}

func TestTimeoutThatCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica, func(r *policy.RouteSpec) { r.CloseOnTimeout = true })
	c := w.client()
	c.writes("+1\r\n")
	c.reads(":7\r\n")
	w.turn()
	w.sleep(time.Second)
	if c.expect(""); !c.over {
		t.Error("the session goes on")
	}
	w.links[0].prove()
	w.empty()
}

// A session that ends within its own release leaves nothing, and its gate carries the next session's
// output and none of its own.
func TestGateIsReused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	a, b := w.client(), w.client()
	a.writes("+a1\r\n")
	a.reads("+a2\r\n")
	w.turn()
	old := a.gate
	for _, r := range []string{w.infoReply(), "+OK\r\n", ":1\r\n", w.infoReply()} {
		w.links[0].answer(r) // a's reply is settled, and not delivered yet
	}
	a.end()
	b.writes("+b1\r\n")
	b.reads("+b2\r\n")
	if b.gate != old {
		t.Fatal("the gate is not reused")
	}
	w.turn()
	b.expect("")
	w.links[0].prove()
	b.expect("+b1\r\n+b2\r\n")
	a.expect("")

	a = w.client()
	a.writes("+a1\r\n")
	a.reads("+a2\r\n")
	a.ends = true
	w.turn()
	w.links[0].prove()
	a.expect("+a1\r\n+a2\r\n")
	if a.wakes != 0 {
		t.Error("an ended session was woken")
	}

	a = w.client()
	a.writes("+a1\r\n")
	w.turn()
	w.links[0].answer(w.infoReply(), "+OK\r\n", ":1\r\n", w.infoReply())
	a.end()
	w.turn() // it is not reused yet
	if a.wakes != 0 || w.p.Gate(a) == w.p.Gate(b) {
		t.Error("the closed gate was released, and serves two sessions")
	}
	w.empty()
}

func TestEndedSessionLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	c.end()
	if w.outcome(telemetry.HoldGone) != 1 {
		t.Errorf("outcomes: %v", w.counters.Routes[0].Outcomes)
	}
	w.links[0].prove()
	w.sleep(2 * time.Second)
	w.empty()
	if c.ack != (Ack{}) {
		t.Errorf("ack: %+v", c.ack)
	}
}

// What has written nothing is not held, but keeps its place.
func TestErrorsAreNotHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("-ERR 1\r\n")
	if c.expect("-ERR 1\r\n"); c.gate != nil {
		t.Error("a gate is open")
	}
	c.writes("+2\r\n")
	c.writes("-ERR 3\r\n")
	w.turn()
	c.expect("")
	w.links[0].prove()
	c.expect("+2\r\n-ERR 3\r\n")

	h := c.sends(w.trusted())
	h.strict = true // a script
	c.answered(h, "-ERR 4\r\n")
	w.turn()
	c.expect("")
	w.links[0].prove()
	c.expect("-ERR 4\r\n")
	for reply, held := range map[string]bool{"*0\r\n": true, "*-1\r\n": false, "_\r\n": false, "-EXECABORT no\r\n": false} {
		h := c.sends(w.trusted())
		h.exec = true
		if h.wrote([]byte(reply)) != held {
			t.Errorf("EXEC: %q: held %v", reply, !held)
		}
		h.Drop()
	}
}

// An answer that is announced and never comes leaves neither a hold nor a gate.
func TestExpectedAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.gate = w.p.Gate(c)
	c.gate.Expect(c.sends(w.trusted()))
	if c.gate.Unanswered() {
		t.Error("the gate is still open")
	}
	c.gate = w.p.Gate(c)
	c.gate.Expect(c.sends(w.trusted()))
	c.reads("+OK\r\n")
	if !c.gate.Unanswered() {
		t.Fatal("the gate of a held reply was closed")
	}
	w.turn()
	c.expect("")
	w.links[0].prove()
	c.expect("+OK\r\n")
	w.empty()
}

func TestFullGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	for c.gate.Len() < gateBytes {
		if c.gate.Full() {
			t.Fatalf("full with %d bytes", c.gate.Len())
		}
		c.reads(strings.Repeat("x", 1<<16))
	}
	if !c.gate.Full() {
		t.Error("not full")
	}
	c.end()
	for range gateHolds {
		if c.gate != nil && c.gate.Full() {
			t.Fatalf("full with %d holds", c.gate.Holds())
		}
		c.writes("+OK\r\n")
	}
	if !c.gate.Full() {
		t.Error("not full")
	}
}

// A route that lets writes pass holds them for the proofs that are available.
func TestPass(t *testing.T) {
	t.Parallel()
	both := policy.Demand{Replicas: 1, AOFLocal: true}
	w := newWorld(t, both, func(r *policy.RouteSpec) { r.PassUnavailable = true })
	c := w.client()
	w.p.monitor.Update(func() *Availability { return &Availability{AOF: Lasting("off")} })
	if w.p.CanProve(both) || w.p.Why(both) == "" || c.sends(w.trusted()) != nil || c.ack.State() != "passed" {
		t.Errorf("held; ack %+v", c.ack)
	}
	w.p.monitor.Update(func() *Availability { return &Availability{AOF: Lasting("off"), Replicas: 1} })
	c.writes("+OK\r\n")
	w.turn()
	w.links[0].prove()
	c.expect("+OK\r\n")
	if c.ack.State() != "passed" || c.ack.Proven() != oneReplica || c.ack.Demand() != both {
		t.Errorf("ack %+v", c.ack)
	}
}

// A reload may put another route in a route's place: each hold counts for its own, also one that was
// matched before and is sent after.
func TestHoldsOfAReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c, o := w.client(), w.trusted()
	before := w.route
	c.answered(c.sends(o), "+OK\r\n")

	routes, err := policy.NewRoutes(policy.Builtin(), []policy.RouteSpec{
		{Name: "new", Demand: oneReplica, Timeout: time.Second},
		{Name: "r", Demand: oneReplica, Timeout: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.counters.Relabel(&telemetry.Labels{Routes: []string{"new", "r"}})
	w.p.SetRoutes(routes, w.p.mark)
	for _, r := range []*policy.Route{routes.All()[0], routes.All()[1], before} {
		w.route = r
		c.answered(c.sends(o), "+OK\r\n")
	}
	w.turn()
	w.links[0].prove()
	n := w.counters.Routes
	if a, b := n[0].Outcomes[telemetry.HoldConfirmed], n[1].Outcomes[telemetry.HoldConfirmed]; a != 1 || b != 3 {
		t.Errorf("%d and %d are confirmed, want 1 of the new route and 3 of the other", a, b)
	}
	if c.ack.Route() != "r" {
		t.Errorf("the last write was on %q", c.ack.Route())
	}
}

func TestSpanOfAHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	h := c.sends(w.trusted())
	h.Span = &telemetry.SpanRecord{Command: "set"}
	c.answered(h, "+OK\r\n")
	w.turn()
	w.now += int64(3 * time.Millisecond)
	w.links[0].prove()
	if len(w.spans) != 1 || w.spans[0].Hold == nil || len(w.spans[0].Hold.Fences) != 1 || w.spans[0].Duration < 3*time.Millisecond {
		t.Fatalf("spans: %+v", w.spans)
	}
	h = c.sends(w.trusted())
	h.Span = &telemetry.SpanRecord{Command: "set"}
	c.answered(h, "-ERR\r\n")
	if len(w.spans) != 2 || w.spans[1].Hold != nil {
		t.Errorf("spans: %+v", w.spans)
	}
}

// A proxy without routes opens no link, and a reload of its server is none of its concern.
func TestWithoutRoutes(t *testing.T) {
	t.Parallel()
	w := newEmptyWorld(t)
	w.p.SetRoutes(nil, Mark{DB: 15})
	w.p.ServerReplaced(7)
	w.p.Sweep()
	w.turn()
	w.p.Sighted(&w.info)
	if len(w.links) != 0 || w.log.Len() > 0 {
		t.Errorf("%d links; log: %s", len(w.links), w.log.String())
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneReplica)
	c := w.client()
	c.writes("+OK\r\n")
	w.turn()
	w.now += int64(fenceWait+fenceGrace) + 1
	w.p.Sweep()
	if !w.links[0].closed || len(w.links) != 2 {
		t.Fatalf("a stuck link: closed %v, %d links", w.links[0].closed, len(w.links))
	}
	w.links[1].connect()
	w.links[1].answer(w.hello())
	w.sleep(time.Duration(sideIdle) + time.Second)
	w.p.Sweep()
	if w.links[1].closed {
		t.Error("the last link was closed while there are routes")
	}
	w.p.SetRoutes(nil, Mark{})
	for len(w.links[1].sent) > 0 {
		w.links[1].prove()
	}
	w.sleep(time.Duration(sideIdle) + time.Second)
	w.p.Sweep()
	if !w.links[1].closed || len(w.links) != 2 {
		t.Errorf("an idle link: closed %v, %d links", w.links[1].closed, len(w.links))
	}
}

// In a steady state a durable write allocates nothing.
func TestDurableWriteAllocatesNothing(t *testing.T) {
	w := newWorld(t, policy.Demand{Journal: true})
	j := &fakeJournal{replID: firstID}
	w.p.SetJournal(j)
	sink := &quietClient{w: w}
	o, reply, info := w.trusted(), []byte("+OK\r\n"), []byte(w.infoReply())
	side := &quietLink{origin: w.links[0].origin}
	w.p.sides.links[0].link = side
	due := &policy.Match{Route: w.route, Demand: w.route.Spec.Demand, Timeout: time.Second}
	write := func() {
		h := w.p.Hold(Sent{Due: due, Origin: o, Ack: &sink.ack})
		if sink.gate == nil {
			sink.gate = w.p.Gate(sink)
		}
		sink.gate.Answer(h, reply)
		w.p.Turn()
		w.p.sides.links[0].Reply(info)
		j.offset = w.offset
		w.p.JournalMoved()
		w.turn()
	}
	for range 100 {
		write()
	}
	if n := testing.AllocsPerRun(100, write); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if n := w.outcome(telemetry.HoldConfirmed); n != sink.n || n < 200 {
		t.Errorf("%d confirmed, %d delivered", n, sink.n)
	}
}

// quietClient and quietLink allocate nothing.
type quietClient struct {
	w    *world
	gate *Gate
	ack  Ack
	n    uint64
}

func (c *quietClient) Write(p []byte) bool {
	if len(p) > 0 {
		c.n++
	}
	return true
}
func (c *quietClient) CutOff()        {}
func (c *quietClient) Wake(open bool) { c.gate = nil }

type quietLink struct{ origin *Origin }

func (l *quietLink) Send([]byte)     {}
func (l *quietLink) Fail(error)      {}
func (l *quietLink) Origin() *Origin { return l.origin }
