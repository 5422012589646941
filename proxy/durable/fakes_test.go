package durable

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// world is the loop, the server and the journal of one Pipeline, each moved by the test.
type world struct {
	t        testing.TB
	p        *Pipeline
	route    *policy.Route
	counters *telemetry.Counters
	log      bytes.Buffer

	// The loop.
	now    int64
	timers []*fakeTimer
	posted []func()
	spans  []telemetry.SpanRecord

	// The server, and the links to it.
	info      upstream.Info
	runID     string
	replID    string
	replID2   string
	role      string
	offset    int64
	replicas  int
	lag       int64       // of the replicas' acknowledgements
	links     []*fakeLink // for fences
	origins   []*Origin   // of clients' links
	retired   []*Origin
	dials     uint64
	rechecked int
	moved     int
}

var (
	firstID = strings.Repeat("a", 40)
	otherID = strings.Repeat("b", 40)
	noID    = strings.Repeat("0", 40)
)

// newWorld makes a world with one route. Its Pipeline has a side link that is ready.
func newWorld(t testing.TB, d policy.Demand, change ...func(*policy.RouteSpec)) *world {
	w := newEmptyWorld(t)
	w.setRoute(d, change...)
	w.links[0].connect()
	w.links[0].answer(w.hello())
	return w
}

// newEmptyWorld makes a world without routes, in which every proof is available.
func newEmptyWorld(t testing.TB) *world {
	w := &world{t: t, now: int64(time.Second), runID: "run-1", replID: firstID, replID2: noID,
		role: "master", offset: 100, replicas: 1, dials: 10}
	w.counters = telemetry.NewCounters(&telemetry.Labels{Routes: []string{"r"}})
	m := NewMonitor()
	m.Update(func() *Availability { return &Availability{Replicas: 9, AOFReplicas: 9} })
	w.p = New(Options{Env: w, Monitor: m, Counters: w.counters, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		ConnectTimeout: 5 * time.Second, MaxBackoff: time.Second})
	return w
}

func (w *world) setRoute(d policy.Demand, change ...func(*policy.RouteSpec)) {
	spec := policy.RouteSpec{Name: "r", Demand: d, Timeout: time.Second}
	for _, f := range change {
		f(&spec)
	}
	routes, err := policy.NewRoutes(policy.Builtin(), []policy.RouteSpec{spec})
	if err != nil {
		w.t.Fatal(err)
	}
	w.route = routes.All()[0]
	w.p.SetRoutes(routes, Mark{DB: 15})
}

func (w *world) Now() int64                        { return w.now }
func (w *world) Post(f func())                     { w.posted = append(w.posted, f) }
func (w *world) Info() *upstream.Info              { return &w.info }
func (w *world) Recheck()                          { w.rechecked++ }
func (w *world) Disbelieves() bool                 { return false }
func (w *world) Moved()                            { w.moved++ }
func (w *world) RecordSpan(r telemetry.SpanRecord) { w.spans = append(w.spans, r) }
func (w *world) After(d time.Duration, f func()) Timer {
	t := &fakeTimer{w: w, f: f}
	w.timers = append(w.timers, t)
	t.Reset(d)
	return t
}

func (w *world) Retire(elsewhere func(*Origin) bool) {
	for _, o := range w.origins {
		if elsewhere(o) {
			w.retired = append(w.retired, o)
		}
	}
}

func (w *world) Dial(db int32, h Handler) Link {
	l := &fakeLink{w: w, db: db, h: h, origin: w.dial()}
	w.links = append(w.links, l)
	return l
}

func (w *world) dial() *Origin {
	w.dials++
	return &Origin{RunID: w.p.RunID(), DialNo: w.dials}
}

// origin is a link for clients, connected.
func (w *world) origin() *Origin {
	o := w.dial()
	o.ConnNo = w.dials
	w.origins = append(w.origins, o)
	return o
}

// sleep lets time pass, and the timers fire that it reaches.
func (w *world) sleep(d time.Duration) {
	for end := w.now + int64(d); w.now < end; {
		w.now = min(end, w.now+int64(time.Millisecond))
		for _, t := range w.timers {
			if t.at != 0 && t.at <= w.now {
				t.at = 0
				t.f()
			}
		}
		w.turn()
	}
}

// turn ends a turn of the loop.
func (w *world) turn() {
	for i := 0; i < len(w.posted); i++ {
		w.posted[i]()
	}
	w.posted = w.posted[:0]
	w.p.Turn()
}

type fakeTimer struct {
	w  *world
	at int64 // 0: not armed
	f  func()
}

func (t *fakeTimer) Reset(d time.Duration) { t.at = t.w.now + int64(d) }

// fakeLink is a link for fences. Commands wait in it for the test's answers.
type fakeLink struct {
	w      *world
	db     int32
	h      Handler
	origin *Origin
	sent   []string // not answered yet
	closed bool
}

func (l *fakeLink) Send(frame []byte) {
	v := readCommand(l.w.t, frame)
	l.sent = append(l.sent, strings.ToLower(v))
}

func (l *fakeLink) Fail(error) {
	if !l.closed {
		l.closed = true
		l.h.Broken()
	}
}

func (l *fakeLink) Origin() *Origin { return l.origin }

func (l *fakeLink) connect() { l.origin.ConnNo = l.w.dials }

// answer gives replies to the oldest commands.
func (l *fakeLink) answer(replies ...string) {
	l.w.t.Helper()
	for _, r := range replies {
		if len(l.sent) == 0 {
			l.w.t.Fatalf("no command waits for %q", r)
		}
		l.sent = l.sent[1:]
		l.h.Reply([]byte(r))
	}
}

func readCommand(t testing.TB, frame []byte) string {
	r := bufio.NewScanner(bytes.NewReader(frame))
	var words []string
	for i := 0; r.Scan(); i++ {
		if i > 0 && i%2 == 0 {
			words = append(words, r.Text())
		}
	}
	if len(words) == 0 {
		t.Fatalf("no command: %q", frame)
	}
	return strings.Join(words, " ")
}

func (w *world) hello() string { return proxytest.Bulk("run_id:" + w.runID + "\r\n" + w.replication()) }

// infoReply is INFO replication.
func (w *world) infoReply() string { return proxytest.Bulk(w.replication()) }

func (w *world) replication() string {
	text := "role:" + w.role + "\r\n"
	for i := range w.replicas {
		text += fmt.Sprintf("slave%d:ip=127.0.0.1,port=%d,state=online,offset=%d,lag=0\r\n", i, 7001+i, w.offset-w.lag)
	}
	return text + fmt.Sprintf("master_replid:%s\r\nmaster_replid2:%s\r\nmaster_repl_offset:%d\r\n", w.replID,
		w.replID2, w.offset)
}

// prove answers the fence of replicas on a link.
func (l *fakeLink) prove() {
	l.w.t.Helper()
	l.answer(l.w.infoReply(), "+OK\r\n", ":1\r\n", l.w.infoReply())
	l.w.turn()
}

// fakeClient is a session.
type fakeClient struct {
	w     *world
	gate  *Gate
	ack   Ack
	got   string
	ends  bool // the next Write ends it
	over  bool
	wakes int
}

func (w *world) client() *fakeClient { return &fakeClient{w: w} }

func (c *fakeClient) Write(p []byte) bool {
	c.got += string(p)
	if c.ends {
		c.end()
	}
	return !c.over
}

func (c *fakeClient) CutOff() { c.end() }

func (c *fakeClient) Wake(open bool) {
	c.wakes++
	if !open {
		c.gate = nil
	}
}

// end runs at the session's end.
func (c *fakeClient) end() {
	c.over = true
	if c.gate != nil {
		c.gate.Close()
		c.gate = nil
	}
}

// sends is a write that goes to the server by a link.
func (c *fakeClient) sends(o *Origin) *Hold {
	r := c.w.route
	return c.w.p.Hold(Sent{Origin: o, Ack: &c.ack, Due: &policy.Match{Route: r, Demand: r.Spec.Demand,
		Timeout: r.Spec.Timeout, Close: r.Spec.CloseOnTimeout, Pass: r.Spec.PassUnavailable}})
}

// answered is the server's reply to it.
func (c *fakeClient) answered(h *Hold, reply string) {
	if c.gate == nil {
		c.gate = c.w.p.Gate(c)
	}
	c.took(c.gate.Answer(h, []byte(reply)), reply)
}

// reads is any other output.
func (c *fakeClient) reads(reply string) {
	if c.gate == nil {
		c.got += reply
		return
	}
	c.took(c.gate.Put([]byte(reply)), reply)
}

func (c *fakeClient) took(open bool, reply string) {
	if !open {
		c.gate = nil
		c.got += reply
	}
}

// writes is a write and its reply, by a link that is older than the side links.
func (c *fakeClient) writes(reply string) { c.answered(c.sends(c.w.trusted()), reply) }

// trusted is the origin of a link that is known to lead to the process that fences ask.
func (w *world) trusted() *Origin {
	return &Origin{RunID: w.p.RunID(), DialNo: 0, ConnNo: w.p.newest - 1}
}

func (c *fakeClient) expect(want string) {
	c.w.t.Helper()
	if c.got != want {
		c.w.t.Fatalf("got %q, want %q", c.got, want)
	}
	c.got = ""
}

func (w *world) outcome(o telemetry.HoldOutcome) uint64 { return w.counters.Routes[0].Outcomes[o] }

// empty checks that nothing refers to a hold any more.
func (w *world) empty() {
	w.t.Helper()
	for _, f := range w.p.kinds {
		if f.live != 0 || f.waiting.Len() != 0 || len(f.inFlight) != 0 {
			w.t.Errorf("%s: live %d, waiting %d, in flight %d", f.name, f.live, f.waiting.Len(), len(f.inFlight))
		}
	}
	for _, q := range w.p.expiry.queues {
		if q.holds.Len() != 0 {
			w.t.Errorf("%v: %d holds wait for the timeout", q.after, q.holds.Len())
		}
	}
	if n := w.p.unverified.Len(); n != 0 {
		w.t.Errorf("%d holds are unverified", n)
	}
}

// fakeJournal is the journal's position.
type fakeJournal struct {
	replID  string
	offset  int64
	fack    bool
	hurried int
	asked   func() // called by Confirmed
}

func (j *fakeJournal) Confirmed() (string, int64) {
	if j.asked != nil {
		defer j.asked()
	}
	return j.replID, j.offset
}

func (j *fakeJournal) Hurry()      { j.hurried++ }
func (j *fakeJournal) FACKs() bool { return j.fack }
