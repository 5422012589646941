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

// provable is what could be proven of a write at one moment, by what is known of the server and of
// the journal. It is immutable: event loops look at the newest one without a lock.
type provable struct {
	server      string // why nothing at all can be proven; ""
	marks       string // why nothing can that takes a mark; ""
	journal     string // why the journal proves nothing; ""
	aof         string // why WAITAOF's local answer proves nothing; ""
	replicas    int    // online, journals not counted
	aofReplicas int    // of these, those whose own fsyncs can be believed
	aofDoubt    string // why that of another one cannot; ""
}

// lacks returns the part of a demand that cannot be met; zero: all of it can. It allocates nothing.
func (p *provable) lacks(d policy.Demand) (missing policy.Demand) {
	if p.server != "" {
		return d
	}
	missing.Journal = d.Journal && p.journal != ""
	if p.marks != "" {
		d.Journal = missing.Journal
		return d
	}
	missing.AOFLocal = d.AOFLocal && p.aof != ""
	if d.Replicas > p.replicas {
		missing.Replicas = d.Replicas
	}
	if d.AOFReplicas > p.aofReplicas {
		missing.AOFReplicas = d.AOFReplicas
	}
	return missing
}

// why says in words why the demand cannot be met, and what to set; "" where it can.
func (p *provable) why(d policy.Demand) string {
	missing := p.lacks(d)
	if missing.IsZero() {
		return ""
	}
	if p.server != "" {
		return p.server
	}
	var why []string
	if missing.Journal {
		why = append(why, p.journal)
	}
	if p.marks != "" && marks(missing) {
		return strings.Join(append(why, p.marks), "; ")
	}
	if missing.Replicas > 0 {
		why = append(why, fmt.Sprintf("%d of %d replicas are online", p.replicas, d.Replicas))
	}
	if missing.AOFLocal {
		why = append(why, p.aof)
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

// newProvable looks at the server and at the journal; r is nil without one.
func newProvable(i *upstream.Info, r *recorder) *provable {
	p := &provable{server: whyNotPrimary(i), replicas: i.OnlineReplicas()}
	p.aofReplicas, p.aofDoubt = i.AOFReplicas()
	if ok, reason := i.AOFProof(); !ok {
		p.aof = reason
	}
	if i.Cluster {
		p.marks = errMarkCluster.Error()
	}
	p.journal = "there is no journal: set journal.dir"
	if r != nil {
		p.journal = r.unavailable()
	}
	return p
}

// whyNotPrimary says why the server takes no writes that could be proven; "" where it does.
func whyNotPrimary(i *upstream.Info) string {
	switch {
	case !i.Up:
		return "the server does not answer"
	case i.Err != nil:
		return "the control user cannot log in"
	case i.Role == "":
		return "the server's role is not known: let the control user run INFO"
	case i.Role != "master":
		return "the server is a replica"
	case i.Loading:
		return "the server loads its data"
	}
	return ""
}

// A prover keeps the newest provable, and for how long each kind of proof could not be had. There
// is one for all workers. Everyone who learns of a change of the server or of the journal calls
// look, from any goroutine.
type prover struct {
	now atomic.Pointer[provable] // never nil

	mu     sync.Mutex
	routes []*policy.Route // in force
	kinds  []*proofKind    // that routes ask for, or asked for once
}

// proofKind is one kind of proof: the part of a demand that fences of one kind prove.
type proofKind struct {
	part  policy.Demand
	label string
	asked bool // by a route in force
	// since is when it became unavailable; zero: it is available, or nobody asks.
	since time.Time
	total time.Duration // of what lies before since
}

func newProver() *prover {
	p := &prover{}
	p.now.Store(&provable{server: "the server was not asked yet", journal: "not asked yet"})
	return p
}

// partsOf splits a demand into what fences of one kind prove.
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

// setRoutes says which routes are in force.
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

// look takes over what is known now.
func (p *prover) look(up *upstream.Upstream, r *recorder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Store(newProvable(up.Info(), r)) // asked under the lock: a later look knows more
	p.account(time.Now())
}

// account follows when each kind comes and goes. With mu held.
func (p *prover) account(at time.Time) {
	now := p.now.Load()
	for _, k := range p.kinds {
		missing := k.asked && !now.lacks(k.part).IsZero()
		switch {
		case missing && k.since.IsZero():
			k.since = at
		case !missing && !k.since.IsZero():
			k.total += at.Sub(k.since)
			k.since = time.Time{}
		}
	}
}

// snapshot is what metrics show: the kinds that routes in force ask for.
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

// lookAtProofs is called when what can be proven may have changed.
func (srv *Server) lookAtProofs() { srv.proofs.look(srv.up.Load(), srv.recorder) }

// journalMoved is called after each fsync of the journal, among other things: it looks only if
// there is something to see.
func (srv *Server) journalMoved() {
	if srv.recorder.unavailable() != srv.proofs.now.Load().journal {
		srv.lookAtProofs()
	}
}

// askForProofs says which routes are in force from now on.
func (srv *Server) askForProofs(routes []*policy.Route) {
	up := srv.up.Load()
	up.WatchClosely(len(routes) > 0)
	up.WatchReplicas(slices.ContainsFunc(routes, func(r *policy.Route) bool {
		return r.Spec.Demand.AOFReplicas > 0
	}))
	srv.proofs.setRoutes(routes)
}
