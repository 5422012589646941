package proxy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// provable lists the proofs available for a write at one moment, by the known states of the server
// and the journal. It is immutable: event loops read the newest one without a lock.
type provable struct {
	server      lack   // why no proof is available
	marks       lack   // why no proof that takes a mark is
	journal     lack   // why the journal proves nothing
	aof         lack   // why WAITAOF's local answer proves nothing
	replicas    int    // online, journals not counted
	aofReplicas int    // of these, those with trusted fsyncs
	aofDoubt    string // why another one's are not trusted; ""
	aofUnfit    int    // replicas not trusted for their settings

	missing []missingSince
}

// lack says why a kind of proof is unavailable. The zero value: it is available.
type lack struct {
	why string
	// passing: it may end in a moment, without an operator. A write waits for the end, within its
	// route's timeout; any other lack refuses the write at once.
	passing bool
}

// passing and lasting make a lack of a reason; "" is none.
func passing(why string) lack { return lack{why, why != ""} }
func lasting(why string) lack { return lack{why, false} }

func (l lack) is() bool { return l.why != "" }

// missingSince is a kind of unavailable proof, and the start of its absence.
type missingSince struct {
	part  policy.Demand
	since time.Time
}

// lacks returns the unmet part of a demand; zero: all of it can be met. It does not allocate.
func (p *provable) lacks(d policy.Demand) (missing policy.Demand) {
	if p.server.is() {
		return d
	}
	missing.Journal = d.Journal && p.journal.is()
	if p.marks.is() {
		d.Journal = missing.Journal
		return d
	}
	missing.AOFLocal = d.AOFLocal && p.aof.is()
	if d.Replicas > p.replicas {
		missing.Replicas = d.Replicas
	}
	if d.AOFReplicas > p.aofReplicas {
		missing.AOFReplicas = d.AOFReplicas
	}
	return missing
}

// why says in words why the demand cannot be met, and which setting helps; "": it can.
func (p *provable) why(d policy.Demand) string {
	missing := p.lacks(d)
	if missing.IsZero() {
		return ""
	}
	if p.server.is() {
		return p.server.why
	}
	var why []string
	if missing.Journal {
		why = append(why, p.journal.why)
	}
	if p.marks.is() && marks(missing) {
		return strings.Join(append(why, p.marks.why), "; ")
	}
	if missing.Replicas > 0 {
		why = append(why, fmt.Sprintf("%d of %d replicas are online", p.replicas, d.Replicas))
	}
	if missing.AOFLocal {
		why = append(why, p.aof.why)
	}
	if missing.AOFReplicas > 0 {
		text := fmt.Sprintf("%d of %d replicas have an append-only file to believe", p.aofReplicas,
			d.AOFReplicas)
		if p.aofDoubt != "" {
			text += " (" + p.aofDoubt + ")"
		}
		why = append(why, text)
	}
	return strings.Join(why, "; ")
}

// hopeUntil is the deadline of a write that waits for its missing proofs: until the first of the
// missing kinds has been missing for within. A kind missing for longer is out of reach, so that in
// an outage of an hour not every write waits. The zero time: do not wait.
func (p *provable) hopeUntil(d policy.Demand, within time.Duration) (until time.Time) {
	missing := p.lacks(d)
	switch {
	case p.server.is():
		if !p.server.passing {
			return until
		}
	case missing.Journal && !p.journal.passing, p.marks.is() && marks(missing),
		missing.AOFLocal && !p.aof.passing, p.disbelieved(missing):
		return until
	}
	for _, m := range p.missing {
		if end := m.since.Add(within); d.With(m.part) == d && (until.IsZero() || end.Before(until)) {
			until = end
		}
	}
	return until
}

// disbelieved reports whether enough replicas are online but the settings of too many are unfit:
// waiting does not help.
func (p *provable) disbelieved(missing policy.Demand) bool {
	return missing.AOFReplicas > 0 && p.replicas >= missing.AOFReplicas &&
		p.replicas-p.aofUnfit < missing.AOFReplicas
}

// newProvable examines the server and the journal; r is nil without one.
func newProvable(i *upstream.Info, r *recorder) *provable {
	p := &provable{server: whyNotPrimary(i), replicas: i.OnlineReplicas()}
	p.aofReplicas, p.aofDoubt = i.AOFReplicas()
	p.aofUnfit = i.AOFUnfit()
	if ok, reason := i.AOFProof(); !ok {
		p.aof = lasting(reason)
	}
	if i.Cluster {
		p.marks = lasting(errMarkCluster.Error())
	}
	p.journal = lasting("there is no journal: set journal.dir")
	if r != nil {
		p.journal = r.lacks(i)
	}
	return p
}

// whyNotPrimary says why the server takes no provable writes.
func whyNotPrimary(i *upstream.Info) lack {
	switch {
	case !i.Up:
		return passing("the server does not answer")
	case i.Err != nil:
		return lasting("the control user cannot log in")
	case i.Role == "":
		return lasting("the server's role is not known: let the control user run INFO")
	case i.Role != "master":
		return passing("the server is a replica")
	case i.Loading:
		return passing("the server loads its data")
	}
	return lack{}
}

// A prover keeps the newest provable, and the time for which each kind of proof was unavailable.
// There is one for all workers. Call look, from any goroutine, after a change of the server or of
// the journal.
type prover struct {
	now atomic.Pointer[provable] // never nil

	mu     sync.Mutex
	routes []*policy.Route // in force
	kinds  []*proofKind    // that routes ask for, or once did
}

// proofKind is one kind of proof: the part of a demand that fences of one kind prove.
type proofKind struct {
	part  policy.Demand
	label string
	asked bool // by a route in force
	// since is when it became unavailable; zero: it is available, or no route asks.
	since time.Time
	total time.Duration // of the earlier absences
}

func newProver() *prover {
	p := &prover{}
	p.now.Store(&provable{server: passing("the server was not asked yet"),
		journal: passing("not asked yet")})
	return p
}

// partsOf splits a demand into parts that fences of one kind prove.
func partsOf(d policy.Demand) (parts []policy.Demand) {
	for _, part := range []policy.Demand{
		{Journal: d.Journal}, {Replicas: d.Replicas},
		{AOFLocal: d.AOFLocal, AOFReplicas: d.AOFReplicas},
	} {
		if !part.IsZero() {
			parts = append(parts, part)
		}
	}
	return parts
}

// setRoutes takes the routes in force.
func (p *prover) setRoutes(routes []*policy.Route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes = routes
	for _, k := range p.kinds {
		k.asked = false
	}
	for _, r := range routes {
		for _, part := range partsOf(r.Spec.Demand) {
			p.kind(part).asked = true
		}
	}
	p.account(time.Now())
}

func (p *prover) kind(part policy.Demand) *proofKind {
	for _, k := range p.kinds {
		if k.part == part {
			return k
		}
	}
	k := &proofKind{part: part, label: part.String()}
	p.kinds = append(p.kinds, k)
	return k
}

// look takes the present state of the server and the journal.
func (p *prover) look(up *upstream.Upstream, r *recorder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.follow(newProvable(up.Info(), r), time.Now()) // built under the lock: a later look has newer data
}

// account is follow with the present provable. With mu held.
func (p *prover) account(at time.Time) {
	now := *p.now.Load()
	p.follow(&now, at)
}

// follow takes a new provable, and notes when each kind comes and goes. With mu held.
func (p *prover) follow(now *provable, at time.Time) {
	now.missing = nil
	for _, k := range p.kinds {
		missing := k.asked && !now.lacks(k.part).IsZero()
		switch {
		case missing && k.since.IsZero():
			k.since = at
		case !missing && !k.since.IsZero():
			k.total += at.Sub(k.since)
			k.since = time.Time{}
		}
		if missing {
			now.missing = append(now.missing, missingSince{k.part, k.since})
		}
	}
	p.now.Store(now)
}

// snapshot gives metrics the kinds that routes in force ask for.
func (p *prover) snapshot() (out []telemetry.ProofState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now()
	for _, k := range p.kinds {
		if !k.asked {
			continue
		}
		s := telemetry.ProofState{Kind: k.label, Available: k.since.IsZero(), Unavailable: k.total}
		if !s.Available {
			s.Why = p.now.Load().why(k.part)
			s.Unavailable += at.Sub(k.since)
		}
		out = append(out, s)
	}
	return out
}

// troubles lists the routes whose demand cannot be met, for readiness: a line for each reason.
func (p *prover) troubles() (out []string) {
	p.mu.Lock()
	routes := p.routes
	p.mu.Unlock()
	now := p.now.Load()
	names, order := map[string][]string{}, []string{}
	for _, r := range routes {
		why := now.why(r.Spec.Demand)
		if why == "" {
			continue
		}
		what := "refused"
		if r.Spec.PassUnavailable {
			what = "not proven"
		}
		line := ": writes are " + what + ": " + why
		if names[line] == nil {
			order = append(order, line)
		}
		names[line] = append(names[line], r.Spec.Name)
	}
	for _, line := range order {
		out = append(out, "route "+nameRoutes(names[line])+line)
	}
	return out
}

// lookAtProofs is called when the available proofs may have changed.
func (srv *Server) lookAtProofs() {
	srv.proofs.look(srv.up.Load(), srv.recorder)
	srv.loops.each((*worker).proofsMoved)
}

// journalMoved is called after each fsync of the journal, among other times: it looks only after a
// change.
func (srv *Server) journalMoved() {
	up := srv.up.Load()
	now := srv.recorder.lacks(up.Info())
	if now == srv.proofs.now.Load().journal {
		return
	}
	if now == elsewhere {
		up.Recheck()
	}
	srv.lookAtProofs()
}

// askForProofs takes the routes in force from now on.
func (srv *Server) askForProofs(routes []*policy.Route) {
	up := srv.up.Load()
	up.WatchClosely(len(routes) > 0)
	up.WatchReplicas(slices.ContainsFunc(routes, func(r *policy.Route) bool {
		return r.Spec.Demand.AOFReplicas > 0
	}))
	srv.proofs.setRoutes(routes)
}
