package durable

import (
	"time"

	"holdfast/policy"
	"holdfast/proxy/queue"
	"holdfast/proxy/telemetry"
)

// kind is the proof of one fencer. It is comparable.
type kind struct {
	journal  bool
	local    bool // the primary's AOF
	replicas int
	aof      bool // replicas counts fsyncs to their AOFs
}

// demand is the part of a demand that a kind proves.
func (k kind) demand() policy.Demand {
	if k.aof {
		return policy.Demand{AOFLocal: k.local, AOFReplicas: k.replicas}
	}
	return policy.Demand{Journal: k.journal, Replicas: k.replicas}
}

// fencer runs the fences of one kind.
type fencer struct {
	p     *Pipeline
	kind  kind
	name  string
	count *telemetry.FenceCounters

	waiting queue.Queue[*Hold] // not proven yet, by seq; includes settled ones
	live    int                // number of unsettled ones
	last    uint64             // seq of the newest

	inFlight []*fence // oldest first
	covered  uint64   // seq up to which the newest of them, or the last proof, covers
	proven   uint64
	began    int64 // loop time when the newest began
	round    int64 // smoothed duration of a fence in nanoseconds
	retry    int64 // loop time before which no fence begins, after a failure
	latest   lastFence
	short    string // why the last fence proved nothing
	acked    int    // replicas that the last fence found
	spare    []*fence
	pace     Timer
	paced    bool // pace is armed
}

// lastFence is the last fence of a kind to end.
type lastFence struct {
	began, ended int64
	outcome      telemetry.FenceOutcome
}

// fence is one fence in flight.
type fence struct {
	f       *fencer
	upTo    uint64
	epoch   uint64
	began   int64
	ended   bool
	carried bool // a side link still waits for replies of it

	unmarked bool // it has no write of its own (wait.go)

	// The server's state at its beginning.
	offset   int64
	replID   [40]byte
	journals int

	asked    int64 // the count that WAIT was asked for
	answered int64 // and its answer
	failed   telemetry.FenceOutcome
	why      string
}

// fencer returns the fencer of a kind, new or known.
func (p *Pipeline) fencer(k kind) *fencer {
	for _, f := range p.kinds {
		if f.kind == k {
			return f
		}
	}
	name := k.demand().String()
	f := &fencer{p: p, kind: k, name: name, count: p.counters.Fence(name)}
	f.covered, f.proven = p.seq, p.seq
	p.kinds = append(p.kinds, f)
	return f
}

// begin starts a fence if one is due.
func (f *fencer) begin() {
	p := f.p
	now := p.env.Now()
	if now < f.retry {
		f.wakeIn(f.retry - now)
		return
	}
	if n := len(f.inFlight); n > 0 {
		if n >= f.limit() {
			return
		}
		if wait := f.began + f.round/int64(f.limit()) - now; wait > 0 {
			f.wakeIn(wait)
			return
		}
	}
	side := p.sides.take()
	if side == nil {
		return // one is being opened, and its arrival ends a turn
	}
	fc := f.newFence()
	*fc = fence{f: f, upTo: p.seq, epoch: p.epoch, began: now}
	f.inFlight = append(f.inFlight, fc)
	f.covered, f.began = p.seq, now
	side.carry(fc)
}

// newFence returns one to fill in.
func (f *fencer) newFence() *fence {
	if k := len(f.spare); k > 0 {
		fc := f.spare[k-1]
		f.spare = f.spare[:k-1]
		return fc
	}
	return &fence{}
}

// recycle frees a fence once nothing refers to it.
func (fc *fence) recycle() {
	if fc.ended && !fc.carried {
		fc.f.spare = append(fc.f.spare, fc)
	}
}

// limit is the number of fences that may be in flight. A journal fence costs the server one quick
// command. And journal fences must be close together: one whose offset is beyond the journal's
// current fsync waits for the next fsync, with every reply that it covers.
func (f *fencer) limit() int {
	if f.kind.journal {
		return 16 * maxFences
	}
	return maxFences
}

// wakeIn makes the loop turn after ns. The loop's timers have a resolution of a millisecond: for
// less than that the end of a fence in flight comes as soon.
func (f *fencer) wakeIn(ns int64) {
	if f.paced || ns < int64(time.Millisecond) && len(f.inFlight) > 0 {
		return
	}
	f.paced = true
	ns = max(ns, int64(time.Millisecond))
	if f.pace == nil {
		f.pace = f.p.env.After(time.Duration(ns), func() { f.paced = false })
		return
	}
	f.pace.Reset(time.Duration(ns))
}

// ended is called once for each fence, with its outcome.
func (f *fencer) ended(fc *fence, outcome telemetry.FenceOutcome, why string) {
	if fc.ended {
		return
	}
	fc.ended = true
	for i, x := range f.inFlight {
		if x == fc {
			f.inFlight = append(f.inFlight[:i], f.inFlight[i+1:]...)
			break
		}
	}
	now := f.p.env.Now()
	f.latest = lastFence{fc.began, now, outcome}
	f.count.Outcomes[outcome]++
	f.count.Round.Observe(now - fc.began)
	if outcome == telemetry.FenceProven {
		f.short, f.retry = "", 0
		f.smooth(now - fc.began)
		f.prove(fc.upTo)
		return
	}
	f.short = why
	f.covered = f.proven
	for _, x := range f.inFlight {
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
	for f.waiting.Len() > 0 && (*f.waiting.Front()).seq <= seq {
		h := f.waiting.Pop()
		if !h.settled {
			f.count.Holds++
		}
		f.p.met(h, h.bit(f))
		f.p.unref(h)
	}
}

// abandon gives up every fence in flight, and every hold that waits: a new epoch has begun.
func (f *fencer) abandon(why string) {
	for f.waiting.Len() > 0 {
		f.p.unref(f.waiting.Pop())
	}
	for len(f.inFlight) > 0 {
		fc := f.inFlight[0]
		f.ended(fc, telemetry.FencePrimary, why)
		fc.recycle()
	}
	f.covered, f.retry = f.p.seq, 0
}
