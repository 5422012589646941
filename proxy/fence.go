package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/telemetry"
)

// durability is a worker's state of durable acknowledgements: the held replies, and the fences that
// prove them. It exists once a route has been in force.
//
// A fence proves every write that the server answered before the fence began: its first command is
// sent after those replies were read, so the server executes it after those writes.
//
//	hold 1 ─┐
//	hold 2 ─┤ seq ≤ 3 when the fence begins            proven = 3: holds 1, 2 and 3 are released
//	hold 3 ─┘ fence ── SET · WAIT 1 ───────────────────┘
//	hold 4 ──────────── fence ── SET · WAIT 1 ────────────── proven = 4
//
// So one number describes a fence's proof: the count of replies held before it began. Fences are
// cumulative, and a failed one loses nothing: the next covers the same replies.
//
// There is one fencer for each distinct kind of proof (journal, replicas n, aof), and each goes at
// its own pace; a hold that needs several kinds waits for each. Fences begin at the end of a turn,
// so that one covers all replies of the turn. A fencer may have several in flight (limit), spread
// evenly over a round: a reply that arrives just after a fence began waits for little more than one
// round, not for two.
//
// Invariants:
//
//   - A hold is confirmed only by fences that began after its reply was read, of the same epoch as
//     the one in which it was sent (lineage.go), and only once its link is known to have led to
//     the process that the fences asked.
//   - An inconclusive fence (an error, a count that falls short, a broken link) proves nothing.
//   - A hold is settled once.
type durability struct {
	w      *worker
	routes bool  // there are routes in force
	db     int32 // of the watermark

	seq   uint64
	plans map[policy.Demand]*proofPlan
	kinds []*fencer

	timeouts []*timeoutQueue
	timer    *eventloop.Timer
	wakes    int64      // when it fires; 0: it is not armed
	released []*session // sessions with a hold settled in this turn
	passes   passes
	awaiting proofWait

	lineage
	sides  sidePool
	facts  facts
	hidden hiddenCount

	free  []*hold
	gates []*gate

	nowhere telemetry.RouteCounters // for routes removed by a reload
}

const (
	// sparesKept is the number of holds, and of gates, kept for reuse.
	sparesKept = 4096
	// maxFlights is the number of fences of one kind that may be in flight.
	maxFlights = 4
)

// fenceKind is the proof of one fencer. It is comparable.
type fenceKind struct {
	journal  bool
	local    bool // the primary's AOF
	replicas int
	aof      bool // replicas counts fsyncs to their AOFs
}

func newDurability(w *worker) *durability {
	return &durability{w: w, db: w.trash.mark, plans: map[policy.Demand]*proofPlan{},
		passes: passes{w: w}}
}

// routesChanged is called after a change of the routes.
func (w *worker) routesChanged() {
	d := w.durable
	if w.routes == nil {
		if d != nil {
			d.routes = false
		}
		return
	}
	if d == nil {
		d = newDurability(w)
		w.durable = d
	}
	d.routes = true
	if db := w.trash.mark; db != d.db {
		d.db = db
		d.closeSides()
	}
	if len(d.sides.links) == 0 {
		d.sides.open(d)
	}
}

// proofPlan is a demand with its fencers.
type proofPlan struct {
	demand policy.Demand
	kinds  []*fencer
	held   *telemetry.DemandCounters
}

// plan returns the plan for a demand, new or known.
func (d *durability) plan(demand policy.Demand) *proofPlan {
	if p := d.plans[demand]; p != nil {
		return p
	}
	p := &proofPlan{demand: demand, held: d.w.counters.Demand(demand.String())}
	if demand.Journal {
		p.kinds = append(p.kinds, d.fencer(fenceKind{journal: true}))
	}
	if demand.Replicas > 0 {
		p.kinds = append(p.kinds, d.fencer(fenceKind{replicas: demand.Replicas}))
	}
	if demand.AOFLocal || demand.AOFReplicas > 0 {
		p.kinds = append(p.kinds, d.fencer(fenceKind{aof: true, local: demand.AOFLocal,
			replicas: demand.AOFReplicas}))
	}
	d.plans[demand] = p
	return p
}

// demand is the part of a demand that a kind proves.
func (k fenceKind) demand() policy.Demand {
	if k.aof {
		return policy.Demand{AOFLocal: k.local, AOFReplicas: k.replicas}
	}
	return policy.Demand{Journal: k.journal, Replicas: k.replicas}
}

// fencer runs the fences of one kind.
type fencer struct {
	d     *durability
	kind  fenceKind
	name  string
	count *telemetry.FenceCounters

	waiting queue[*hold] // not proven yet, by seq; includes settled ones
	live    int          // number of unsettled ones
	last    uint64       // seq of the newest

	flights []*flight // in flight, oldest first
	covered uint64    // seq up to which the newest of them, or the last proof, covers
	proven  uint64
	began   int64 // loop time when the newest began
	round   int64 // smoothed duration of a fence in nanoseconds
	retry   int64 // loop time before which no fence begins, after a failure
	latest  lastFence
	short   string // why the last fence proved nothing
	acked   int    // replicas that the last fence found
	spare   []*flight
	pace    *eventloop.Timer
	paced   bool // pace is armed
}

// lastFence is the last fence of a kind to end.
type lastFence struct {
	began, ended int64
	outcome      telemetry.FenceOutcome
}

// flight is one fence in flight.
type flight struct {
	f     *fencer
	upTo  uint64
	epoch uint64
	began int64
	ended bool
	aloft bool // a side link still waits for replies of it

	unmarked bool // it has no write of its own (fence_wait.go)

	// The server's state at its beginning.
	offset   int64
	replID   [40]byte
	journals int

	asked    int64 // the count that WAIT was asked for
	answered int64 // and its answer
	failed   telemetry.FenceOutcome
	why      string
}

func (d *durability) fencer(k fenceKind) *fencer {
	for _, f := range d.kinds {
		if f.kind == k {
			return f
		}
	}
	name := k.demand().String()
	f := &fencer{d: d, kind: k, name: name, count: d.w.counters.Fence(name)}
	f.covered, f.proven = d.seq, d.seq
	d.kinds = append(d.kinds, f)
	return f
}

// begin adds a hold whose reply has just come.
func (d *durability) begin(h *hold) {
	now := d.w.loop.Now()
	d.seq++
	h.seq, h.began = d.seq, now
	h.route.Held++
	if h.epoch != d.epoch {
		d.settle(h, telemetry.HoldPrimary)
		return
	}
	for i, f := range h.plan.kinds {
		h.missing |= 1 << i
		h.refs++
		f.waiting.push(h)
		f.live++
		f.last = h.seq
	}
	if !d.verified(h.link) {
		h.missing |= needsLink
		h.refs++
		d.unverified.push(h)
	}
	d.startTimeout(h)
}

// turn runs at the end of a turn of the loop: fences begin, and settled replies are delivered.
func (d *durability) turn() {
	for _, f := range d.kinds {
		if f.live > 0 && f.last > f.covered {
			f.begin()
		}
	}
	if d.unverified.len() > 0 {
		d.verify()
	}
	d.release()
}

// release delivers the replies settled in this turn.
func (d *durability) release() {
	if len(d.released) == 0 {
		return
	}
	for i := 0; i < len(d.released); i++ {
		s := d.released[i]
		d.released[i] = nil
		s.releasing = false
		if s.gate != nil && !s.closed {
			s.release()
		}
	}
	d.released = d.released[:0]
	d.prune()
}

// begin starts a fence if one is due.
func (f *fencer) begin() {
	d := f.d
	now := d.w.loop.Now()
	if now < f.retry {
		f.wakeIn(f.retry - now)
		return
	}
	if n := len(f.flights); n > 0 {
		if n >= f.limit() {
			return
		}
		if wait := f.began + f.round/int64(f.limit()) - now; wait > 0 {
			f.wakeIn(wait)
			return
		}
	}
	sl := d.sides.take(d)
	if sl == nil {
		return // one is being opened, and its arrival ends a turn
	}
	fl := f.flight()
	*fl = flight{f: f, upTo: d.seq, epoch: d.epoch, began: now}
	f.flights = append(f.flights, fl)
	f.covered, f.began = d.seq, now
	sl.fly(fl)
}

// flight returns one to fill in.
func (f *fencer) flight() *flight {
	if k := len(f.spare); k > 0 {
		fl := f.spare[k-1]
		f.spare = f.spare[:k-1]
		return fl
	}
	return &flight{}
}

// landed frees a flight once nothing refers to it.
func (fl *flight) landed() {
	if fl.ended && !fl.aloft {
		fl.f.spare = append(fl.f.spare, fl)
	}
}

// limit is the number of fences that may be in flight. A journal fence costs the server one quick
// command. And journal fences must be close together: one whose offset is beyond the journal's
// current fsync waits for the next fsync, with every reply that it covers.
func (f *fencer) limit() int {
	if f.kind.journal {
		return 16 * maxFlights
	}
	return maxFlights
}

// wakeIn makes the loop turn after ns. The loop's timers have a resolution of a millisecond: for
// less than that the end of a fence in flight comes as soon.
func (f *fencer) wakeIn(ns int64) {
	if f.paced || ns < int64(time.Millisecond) && len(f.flights) > 0 {
		return
	}
	f.paced = true
	ns = max(ns, int64(time.Millisecond))
	if f.pace == nil {
		f.pace = f.d.w.loop.AfterFunc(time.Duration(ns), func() { f.paced = false })
		return
	}
	f.pace.Reset(time.Duration(ns))
}

// ended is called once for each fence, with its outcome.
func (f *fencer) ended(fl *flight, outcome telemetry.FenceOutcome, why string) {
	if fl.ended {
		return
	}
	fl.ended = true
	for i, x := range f.flights {
		if x == fl {
			f.flights = append(f.flights[:i], f.flights[i+1:]...)
			break
		}
	}
	now := f.d.w.loop.Now()
	f.latest = lastFence{fl.began, now, outcome}
	f.count.Outcomes[outcome]++
	f.count.Round.Observe(now - fl.began)
	if outcome == telemetry.FenceProven {
		f.short, f.retry = "", 0
		f.smooth(now - fl.began)
		f.prove(fl.upTo)
		return
	}
	f.short = why
	f.covered = f.proven
	for _, x := range f.flights {
		f.covered = max(f.covered, x.upTo)
	}
	f.retry = now + int64(retryPause)
}

// retryPause is how long a fencer waits after a failed fence, so that it does not ask a server that
// answers an error at once in a tight loop.
const retryPause = 5 * time.Millisecond

// smooth averages the duration of fences.
func (f *fencer) smooth(took int64) {
	if f.round == 0 {
		f.round = took
		return
	}
	f.round += (took - f.round) / 8
}

// prove notes that every hold up to seq has this kind of proof.
func (f *fencer) prove(seq uint64) {
	if seq <= f.proven {
		return
	}
	f.proven = seq
	f.covered = max(f.covered, seq)
	for f.waiting.len() > 0 && f.waiting.front().seq <= seq {
		h := f.waiting.pop()
		if !h.settled {
			f.count.Holds++
		}
		f.d.met(h, h.bit(f))
		f.d.unref(h)
	}
}

// bit is the place of a kind in hold.missing.
func (h *hold) bit(f *fencer) uint8 {
	for i, k := range h.plan.kinds {
		if k == f {
			return 1 << i
		}
	}
	return 0
}

// met removes bit from a hold's missing proofs.
func (d *durability) met(h *hold, bit uint8) {
	if h.missing&bit == 0 {
		return
	}
	if !h.settled {
		h.unwait(bit)
	}
	h.missing &^= bit
	switch {
	case h.missing != 0:
	case !h.settled:
		d.settle(h, telemetry.HoldConfirmed)
	case h.outcome == telemetry.HoldTimeout:
		h.route.Late++
	}
}

// unwait removes an unsettled hold from the waiting counts of the kinds in bits.
func (h *hold) unwait(bits uint8) {
	for i, f := range h.plan.kinds {
		if h.missing&bits&(1<<i) != 0 {
			f.live--
		}
	}
}

// settle decides a held reply: it is released if confirmed; otherwise an error takes its place.
func (d *durability) settle(h *hold, outcome telemetry.HoldOutcome) {
	if h.settled {
		return
	}
	h.unwait(h.missing)
	h.settled, h.outcome = true, outcome
	if outcome.Unconfirmed() && !h.closes {
		h.instead = d.textUnconfirmed(h, outcome)
	}
	took := d.w.loop.Now() - h.began
	h.route.Outcomes[outcome]++
	h.route.Held--
	h.route.Hold.Observe(took)
	h.plan.held.Hold.Observe(took)
	if h.span != nil {
		d.recordSpan(h, took)
	}
	if s := h.s; s != nil {
		s.noteAck(h, took)
		if !s.releasing {
			s.releasing = true
			d.released = append(d.released, s)
		}
	}
}

// take returns a hold for a command about to be sent.
func (d *durability) take() *hold {
	if k := len(d.free); k > 0 {
		h := d.free[k-1]
		d.free = d.free[:k-1]
		return h
	}
	return &hold{}
}

// drop frees an unreferenced hold that needs no proof.
func (d *durability) drop(h *hold) {
	if h.span != nil {
		d.w.tel.RecordSpan(*h.span) // it was not held
	}
	*h = hold{}
	if len(d.free) < sparesKept {
		d.free = append(d.free, h)
	}
}

// unref is called by each queue that drops a hold.
func (d *durability) unref(h *hold) {
	if h.refs--; h.refs == 0 {
		d.drop(h)
	}
}
