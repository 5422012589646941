package durable

import (
	"log/slog"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// Pipeline is an event loop's durable acknowledgements: the held replies, and the fences that prove
// them.
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
type Pipeline struct {
	env      Env
	monitor  *Monitor
	counters *telemetry.Counters
	log      *slog.Logger

	journal Journal // nil: none
	// journalWaits: a fence waits for the journal's position. Any goroutine.
	journalWaits atomic.Bool
	onJournal    func() // lookAtJournal

	routes  *policy.Routes // in force; nil: none
	started bool           // there were routes once
	mark    Mark
	nowhere telemetry.RouteCounters // of routes that a reload has removed

	seq      uint64
	plans    map[policy.Demand]*plan
	book     book
	kinds    []*fencer
	expiry   expiry
	released []*Gate // with a hold settled in this turn

	lineage
	sides sidePool
	facts facts
	spare spares
}

// spares are objects kept for reuse.
type spares struct {
	holds []*Hold
	gates []*Gate
}

// Options are the parts of a Pipeline. All fields but the durations are required.
type Options struct {
	Env      Env
	Monitor  *Monitor
	Counters *telemetry.Counters
	Log      *slog.Logger

	ConnectTimeout time.Duration // of a connection's dial
	MaxBackoff     time.Duration // between dials
}

// New returns a Pipeline without routes.
func New(o Options) *Pipeline {
	p := &Pipeline{env: o.Env, monitor: o.Monitor, counters: o.Counters, log: o.Log,
		plans: map[policy.Demand]*plan{}, book: newBook(nil)}
	p.sides = sidePool{p: p, connectTimeout: int64(o.ConnectTimeout)}
	p.sides.backoff.Max = o.MaxBackoff
	p.onJournal = p.lookAtJournal
	return p
}

// Mark is the place of the key that fences write (mark.go).
type Mark struct {
	DB int32
	// Count: the database is hidden from clients for the mark alone, and the Pipeline reports clients'
	// keys in it.
	Count bool
}

const (
	// sparesKept is the number of holds, and of gates, kept for reuse.
	sparesKept = 4096
	// maxFences is the number of fences of one kind that may be in flight.
	maxFences = 4
)

// SetRoutes puts routes in force; nil: none. Call it after the counters have their labels.
func (p *Pipeline) SetRoutes(routes *policy.Routes, mark Mark) {
	p.routes, p.book = routes, newBook(routes)
	if routes == nil {
		return
	}
	p.started = true
	if mark.DB != p.mark.DB {
		p.sides.close()
	}
	p.mark = mark
	if len(p.sides.links) == 0 {
		p.sides.open()
	}
}

// SetJournal gives the Pipeline the journal.
func (p *Pipeline) SetJournal(j Journal) { p.journal = j }

// CanProve reports whether the proofs that a demand asks for are available.
func (p *Pipeline) CanProve(d policy.Demand) bool {
	return p.monitor.Now().Lacks(d).IsZero() && !p.unidentified()
}

// Why says in words why they are not; "": they are.
func (p *Pipeline) Why(d policy.Demand) string {
	why := p.monitor.Now().Why(d)
	if why == "" && p.unidentified() {
		why = whyUnidentified
	}
	return why
}

// HopeUntil returns until when a write may wait, unsent, for its route's proof; the zero time: no
// wait.
func (p *Pipeline) HopeUntil(due policy.Match) time.Time {
	now := p.monitor.Now()
	if now.Lacks(due.Demand).IsZero() && p.unidentified() {
		p.sides.open()
		return time.Now().Add(due.Timeout)
	}
	return now.HopeUntil(due.Demand, due.Timeout)
}

// plan is a demand with its fencers.
type plan struct {
	demand policy.Demand
	kinds  []*fencer
	held   *telemetry.DemandCounters
}

// plan returns the plan for a demand, new or known.
func (p *Pipeline) plan(demand policy.Demand) *plan {
	if pl := p.plans[demand]; pl != nil {
		return pl
	}
	pl := &plan{demand: demand, held: p.counters.Demand(demand.String())}
	if demand.Journal {
		pl.kinds = append(pl.kinds, p.fencer(kind{journal: true}))
	}
	if demand.Replicas > 0 {
		pl.kinds = append(pl.kinds, p.fencer(kind{replicas: demand.Replicas}))
	}
	if demand.AOFLocal || demand.AOFReplicas > 0 {
		pl.kinds = append(pl.kinds, p.fencer(kind{aof: true, local: demand.AOFLocal,
			replicas: demand.AOFReplicas}))
	}
	p.plans[demand] = pl
	return pl
}

// RouteCounters returns the counters of a route, even of one that a reload has replaced.
func (p *Pipeline) RouteCounters(r *policy.Route) *telemetry.RouteCounters {
	all := p.routes.All()
	if r.Index < len(all) && all[r.Index] == r {
		return p.counters.Routes[r.Index]
	}
	for i, x := range all {
		if x.Spec.Name == r.Spec.Name {
			return p.counters.Routes[i]
		}
	}
	return &p.nowhere
}

// Turn runs at the end of a turn of the loop: fences begin, and settled replies are delivered.
func (p *Pipeline) Turn() {
	if len(p.kinds) > 0 { // a reply was held once
		p.turn()
	}
}

func (p *Pipeline) turn() {
	for _, f := range p.kinds {
		if f.live > 0 && f.last > f.covered {
			f.begin()
		}
	}
	if p.unverified.Len() > 0 {
		p.verify()
	}
	p.release()
}

// release delivers the replies settled in this turn.
func (p *Pipeline) release() {
	if len(p.released) == 0 {
		return
	}
	for i := 0; i < len(p.released); i++ {
		g := p.released[i]
		p.released[i] = nil
		g.releasing = false
		if g.client != nil {
			g.release()
		}
	}
	p.released = p.released[:0]
	p.prune()
}

// begin adds a hold whose reply has just come.
func (p *Pipeline) begin(h *Hold) {
	now := p.env.Now()
	p.seq++
	h.seq, h.began = p.seq, now
	h.terms.route.Held++
	if h.epoch != p.epoch {
		p.settle(h, telemetry.HoldPrimary)
		return
	}
	for i, f := range h.plan.kinds {
		h.missing |= 1 << i
		h.refs++
		f.waiting.Push(h)
		f.live++
		f.last = h.seq
	}
	if !p.verified(h.origin) {
		h.missing |= needsOrigin
		h.refs++
		p.unverified.Push(h)
	}
	p.startTimeout(h)
}

// met removes bit from a hold's missing proofs.
func (p *Pipeline) met(h *Hold, bit uint8) {
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
		p.settle(h, telemetry.HoldConfirmed)
	case h.outcome == telemetry.HoldTimeout:
		h.terms.route.Late++
	}
}

// settle decides a held reply: it is released if confirmed; otherwise an error takes its place.
func (p *Pipeline) settle(h *Hold, outcome telemetry.HoldOutcome) {
	if h.settled {
		return
	}
	h.unwait(h.missing)
	h.settled, h.outcome = true, outcome
	if outcome.Unconfirmed() && !h.closes {
		h.instead = resp.AppendOwnError(nil, textUnconfirmed(h, outcome))
	}
	took := p.env.Now() - h.began
	route := h.terms.route
	route.Outcomes[outcome]++
	route.Held--
	route.Hold.Observe(took)
	h.plan.held.Hold.Observe(took)
	if h.Span != nil {
		p.recordSpan(h, took)
	}
	if g := h.gate; g != nil {
		*h.ack = Ack{h.terms, h.plan, outcome, took}
		if !g.releasing {
			g.releasing = true
			p.released = append(p.released, g)
		}
	}
}

// LinkBroke settles the held replies of a broken link: the server may be gone.
func (p *Pipeline) LinkBroke(o *Origin) {
	p.expiry.each(func(h *Hold) {
		if h.origin == o {
			p.settle(h, telemetry.HoldLink)
		}
	})
}

// ServerReplaced is called when a reload has replaced the server. dials is the number of the loop's
// dials so far.
func (p *Pipeline) ServerReplaced(dials uint64) {
	if !p.started {
		return
	}
	p.newEpoch("a reload has put another server in its place")
	p.sides.close()
	p.runID, p.newest, p.primary = "", dials, false
	p.facts = facts{}
}

// Sighted takes the control connection's latest INFO. A history unknown to the lineage is examined
// now, while few replies or none wait: otherwise the first write after a restore or a failover
// would discover it, and be answered -UNCONFIRMED.
func (p *Pipeline) Sighted(info *upstream.Info) {
	if info.Up && p.routes != nil && p.runID != "" && info.ReplID != "" &&
		(info.RunID != p.runID || info.ReplID != string(p.replID[:])) {
		p.sides.open()
	}
}
