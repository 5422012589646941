package proxy

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/telemetry"
)

// durability is what a worker knows of durable acknowledgements: which replies are held, and the
// fences that prove them. It exists from when the first route is in force.
//
// A fence is a proof for everything that the server answered before the fence began: its first
// command is sent after those replies were read, so the server carries it out after those writes.
//
//	hold 1 ─┐
//	hold 2 ─┤ seq ≤ 3 when the fence begins            proven = 3: holds 1, 2 and 3 are released
//	hold 3 ─┘ fence ── SET · WAIT 1 ───────────────────┘
//	hold 4 ──────────── fence ── SET · WAIT 1 ────────────── proven = 4
//
// So one number says what a fence proves: how many replies had been held when it began. Fences are
// cumulative, and one that fails loses nothing: the next covers the same.
//
// There is one fencer for each distinct kind of proof (journal, replicas n, aof), and each goes at
// its own pace; a hold that needs several kinds waits for each. Fences begin at the end of a turn,
// which makes one of them cover all replies of the turn. A fencer may have some in the air (limit),
// evenly over a round: what arrives just after a fence began waits for little more than one round,
// and not for two.
//
// Invariants:
//
//   - A hold is confirmed only by fences that began after its reply was read, of the same epoch as
//     the one in which it was sent (lineage.go), and only once its link is known to have led to
//     the process that the fences asked.
//   - Whatever cannot be told (an error, a count that falls short, a broken link) proves nothing.
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
	released []*session // some hold of theirs was settled in this turn
	passes   passes

	lineage
	sides  sidePool
	facts  facts
	hidden hiddenCount

	free  []*hold
	gates []*gate

	nowhere telemetry.RouteCounters // for routes that a reload has taken away
}

const (
	// sparesKept is how many holds, and gates, are kept for the next.
	sparesKept = 4096
	// maxFlights is how many fences of one kind may be in the air.
	maxFlights = 4
)

// fenceKind is what one fencer proves. Comparable.
type fenceKind struct {
	journal  bool
	local    bool // the primary's AOF
	replicas int
	aof      bool // replicas counts those that have it in their AOF
}

func newDurability(w *worker) *durability {
	return &durability{w: w, db: w.trash.mark, plans: map[policy.Demand]*proofPlan{},
		passes: passes{w: w}}
}

// routesChanged is called when other routes are in force.
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

// proofPlan is a demand with the fencers that it needs.
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

	waiting queue[*hold] // not proven yet, by seq; those settled meanwhile included
	live    int          // how many of them are not settled
	last    uint64       // seq of the newest

	flights []*flight // in the air, oldest first
	covered uint64    // what the newest of them, or the last proof, covers
	proven  uint64
	began   int64 // loop time when the newest began
	round   int64 // nanoseconds from the beginning of a fence to its end, smoothed
	retry   int64 // loop time before which no fence begins, after a failure
	latest  lastFence
	short   string // why the last fence proved nothing
	acked   int    // replicas that it found
	spare   []*flight
	pace    *eventloop.Timer
	paced   bool // pace is armed
}

// lastFence is the fence of a kind that ended last.
type lastFence struct {
	began, ended int64
	outcome      telemetry.FenceOutcome
}

// flight is one fence in the air.
type flight struct {
	f     *fencer
	upTo  uint64
	epoch uint64
	began int64
	ended bool
	aloft bool // a side link still waits for replies of it

	unmarked bool // it has no write of its own (fence_wait.go)

	// What the server said when it began.
	offset   int64
	replID   [40]byte
	journals int

	asked    int64 // the count that WAIT was asked for
	answered int64 // and what it said
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

// begin takes in a hold whose reply has just come.
func (d *durability) begin(h *hold) {
	now := d.w.loop.Now()
	d.seq++
	h.seq, h.began = d.seq, now
	h.route.Held++
	if h.epoch != d.epoch {
		d.settle(h, telemetry.HoldPrimary, nil)
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

// turn runs at the end of a turn of the loop: fences begin, and what was settled is delivered.
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

// release delivers what was settled in this turn.
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

// begin starts a fence, if it is time for one.
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
		return // one is being opened, and its coming ends a turn
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

// landed gives a flight back once nothing refers to it.
func (fl *flight) landed() {
	if fl.ended && !fl.aloft {
		fl.f.spare = append(fl.f.spare, fl)
	}
}

// limit is how many fences may be in the air. The journal's are over for the server at once. And
// they must lie close together: one whose offset is behind what the journal syncs at the moment
// waits for the fsync after that, with everything that it covers.
func (f *fencer) limit() int {
	if f.kind.journal {
		return 16 * maxFlights
	}
	return maxFlights
}

// wakeIn makes the loop turn in a while. The loop's timers are in whole milliseconds: for less than
// that the end of the fence in the air comes as soon.
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

// ended is called once for each fence, with what it has proven.
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

// retryPause is how long a fencer waits after a fence that failed: a server that answers an error
// at once is not asked in a tight loop.
const retryPause = 5 * time.Millisecond

// smooth follows the time that a fence takes.
func (f *fencer) smooth(took int64) {
	if f.round == 0 {
		f.round = took
		return
	}
	f.round += (took - f.round) / 8
}

// prove notes that every hold up to seq is proven in this kind.
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

// met notes that a hold lacks one thing less.
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
		d.settle(h, telemetry.HoldConfirmed, nil)
	case h.outcome == telemetry.HoldTimeout:
		h.route.Late++
	}
}

// unwait takes a hold that is not settled out of the counts of those who wait for the kinds in bits.
func (h *hold) unwait(bits uint8) {
	for i, f := range h.plan.kinds {
		if h.missing&bits&(1<<i) != 0 {
			f.live--
		}
	}
}

// settle says what becomes of a held reply; instead takes its place, if it is not confirmed.
func (d *durability) settle(h *hold, outcome telemetry.HoldOutcome, instead []byte) {
	if h.settled {
		return
	}
	h.unwait(h.missing)
	h.settled, h.outcome, h.instead = true, outcome, instead
	if outcome.Unconfirmed() && instead == nil && !h.closes {
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

// take returns a hold for a command that is about to be sent.
func (d *durability) take() *hold {
	if k := len(d.free); k > 0 {
		h := d.free[k-1]
		d.free = d.free[:k-1]
		return h
	}
	return &hold{}
}

// drop gives back a hold that nothing refers to: there is nothing to prove.
func (d *durability) drop(h *hold) {
	if h.span != nil {
		d.w.tel.RecordSpan(*h.span) // it was not held
	}
	*h = hold{}
	if len(d.free) < sparesKept {
		d.free = append(d.free, h)
	}
}

// unref is called by each queue that lets a hold go.
func (d *durability) unref(h *hold) {
	if h.refs--; h.refs == 0 {
		d.drop(h)
	}
}
