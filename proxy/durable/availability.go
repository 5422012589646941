package durable

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// Availability lists the proofs available for a write at one moment, by the known states of the server
// and the journal. It is immutable: event loops read the newest one without a lock.
type Availability struct {
	Server      Lack   // why no proof is available
	Marks       Lack   // why no proof that takes a mark is
	Journal     Lack   // why the journal proves nothing
	AOF         Lack   // why WAITAOF's local answer proves nothing
	Deaf        string // why the sentinels are not heard; "": they are, or there are none
	Cut         bool   // Server says that the server may be cut off
	Replicas    int    // online, journals not counted
	AOFReplicas int    // of these, those with trusted fsyncs
	AOFDoubt    string // why another one's are not trusted; ""
	AOFUnfit    int    // replicas not trusted for their settings

	missing []missingSince
}

// Lack says why a kind of proof is unavailable. The zero value: it is available.
type Lack struct {
	Why string
	// Passing: it may end in a moment, without an operator. A write waits for the end, within its
	// route's timeout; any other lack refuses the write at once.
	Passing bool
}

// Passing makes a Lack that may end by itself; "" is none.
func Passing(why string) Lack { return Lack{why, why != ""} }

// Lasting makes a Lack that only an operator can end; "" is none.
func Lasting(why string) Lack { return Lack{why, false} }

// Is reports whether the proof is unavailable.
func (l Lack) Is() bool { return l.Why != "" }

// missingSince is a kind of unavailable proof, and the start of its absence.
type missingSince struct {
	part  policy.Demand
	since time.Time
}

// Lacks returns the unmet part of a demand; zero: all of it can be met. It does not allocate.
func (p *Availability) Lacks(d policy.Demand) (missing policy.Demand) {
	if p.Server.Is() {
		return d
	}
	missing.Journal = d.Journal && p.Journal.Is()
	if p.Marks.Is() {
		d.Journal = missing.Journal
		return d
	}
	missing.AOFLocal = d.AOFLocal && p.AOF.Is()
	if d.Replicas > p.Replicas {
		missing.Replicas = d.Replicas
	}
	if d.AOFReplicas > p.AOFReplicas {
		missing.AOFReplicas = d.AOFReplicas
	}
	return missing
}

// Why says in words why the demand cannot be met, and which setting helps; "": it can.
func (p *Availability) Why(d policy.Demand) string {
	missing := p.Lacks(d)
	if missing.IsZero() {
		return ""
	}
	if p.Server.Is() {
		return p.Server.Why
	}
	var why []string
	if missing.Journal {
		why = append(why, p.Journal.Why)
	}
	if p.Marks.Is() && marks(missing) {
		return strings.Join(append(why, p.Marks.Why), "; ")
	}
	if missing.Replicas > 0 {
		why = append(why, fmt.Sprintf("%d of %d replicas are online", p.Replicas, d.Replicas))
	}
	if missing.AOFLocal {
		why = append(why, p.AOF.Why)
	}
	if missing.AOFReplicas > 0 {
		text := fmt.Sprintf("%d of %d replicas have an append-only file to believe", p.AOFReplicas,
			d.AOFReplicas)
		if p.AOFDoubt != "" {
			text += " (" + p.AOFDoubt + ")"
		}
		why = append(why, text)
	}
	return strings.Join(why, "; ")
}

// HopeUntil is the deadline of a write that waits for its missing proofs: until the first of the
// missing kinds has been missing for within. A kind missing for longer is out of reach, so that in
// an outage of an hour not every write waits. The zero time: do not wait.
func (p *Availability) HopeUntil(d policy.Demand, within time.Duration) (until time.Time) {
	missing := p.Lacks(d)
	switch {
	case p.Server.Is():
		if !p.Server.Passing {
			return until
		}
	case missing.Journal && !p.Journal.Passing, p.Marks.Is() && marks(missing),
		missing.AOFLocal && !p.AOF.Passing, p.disbelieved(missing):
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
func (p *Availability) disbelieved(missing policy.Demand) bool {
	return missing.AOFReplicas > 0 && p.Replicas >= missing.AOFReplicas &&
		p.Replicas-p.AOFUnfit < missing.AOFReplicas
}

// NoJournal is the journal's Lack where the configuration has none.
var NoJournal = Lasting("there is no journal: set journal.dir")

// Available is the Availability with a server like i, a journal that lacks journal, and this deaf.
func Available(i *upstream.Info, journal Lack, deaf string) *Availability {
	p := &Availability{Server: whyNotPrimary(i), Journal: journal, Deaf: deaf, Replicas: i.OnlineReplicas()}
	if !p.Server.Is() {
		p.Server = whyCutOff(i, deaf)
		p.Cut = p.Server.Is()
	}
	p.AOFReplicas, p.AOFDoubt = i.AOFReplicas()
	p.AOFUnfit = i.AOFUnfit()
	if ok, reason := i.AOFProof(); !ok {
		p.AOF = Lasting(reason)
	}
	if i.Cluster {
		p.Marks = Lasting(errMarkCluster.Error())
	}
	return p
}

// whyCutOff says why a server may be on the wrong side of a broken network: neither who could promote another one nor a
// server that could be promoted is heard. Its writes are lost then when the network heals, also those that a journal here has.
func whyCutOff(i *upstream.Info, deaf string) Lack {
	if deaf == "" || i.Heard() {
		return Lack{}
	}
	return Passing("the server may be cut off: " + deaf + ", and no replica acknowledges")
}

// whyNotPrimary says why the server takes no provable writes.
func whyNotPrimary(i *upstream.Info) Lack {
	switch {
	case !i.Up:
		return Passing("the server does not answer")
	case i.Err != nil:
		return Lasting("the control user cannot log in")
	case i.Role == "":
		return Lasting("the server's role is not known: let the control user run INFO")
	case i.Role != "master":
		return Passing("the server is a replica")
	case i.Loading:
		return Passing("the server loads its data")
	}
	return Lack{}
}

// A Monitor keeps the newest Availability, and the time for which each kind of proof was unavailable.
// There is one for all event loops. Call Update, from any goroutine, after a change of the server or of
// the journal.
type Monitor struct {
	now atomic.Pointer[Availability] // never nil

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

// NewMonitor returns a Monitor of a server that was not asked yet.
func NewMonitor() *Monitor {
	m := &Monitor{}
	m.now.Store(&Availability{Server: Passing("the server was not asked yet"),
		Journal: Passing("not asked yet")})
	return m
}

// Now returns the newest Availability.
func (m *Monitor) Now() *Availability { return m.now.Load() }

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

// SetRoutes takes the routes in force.
func (m *Monitor) SetRoutes(routes []*policy.Route) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = routes
	for _, k := range m.kinds {
		k.asked = false
	}
	for _, r := range routes {
		for _, part := range partsOf(r.Spec.Demand) {
			m.kind(part).asked = true
		}
	}
	m.account(time.Now())
}

func (m *Monitor) kind(part policy.Demand) *proofKind {
	for _, k := range m.kinds {
		if k.part == part {
			return k
		}
	}
	k := &proofKind{part: part, label: part.String()}
	m.kinds = append(m.kinds, k)
	return k
}

// Update takes a new Availability. look makes it, under the Monitor's lock: a later Update has newer data.
func (m *Monitor) Update(look func() *Availability) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.follow(look(), time.Now())
}

// account is follow with the present Availability. With mu held.
func (m *Monitor) account(at time.Time) {
	now := *m.now.Load()
	m.follow(&now, at)
}

// follow takes a new Availability, and notes when each kind comes and goes. With mu held.
func (m *Monitor) follow(now *Availability, at time.Time) {
	now.missing = nil
	for _, k := range m.kinds {
		missing := k.asked && !now.Lacks(k.part).IsZero()
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
	m.now.Store(now)
}

// Snapshot gives metrics the kinds that routes in force ask for.
func (m *Monitor) Snapshot() (out []telemetry.ProofState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := time.Now()
	for _, k := range m.kinds {
		if !k.asked {
			continue
		}
		s := telemetry.ProofState{Kind: k.label, Available: k.since.IsZero(), Unavailable: k.total}
		if !s.Available {
			s.Why = m.now.Load().Why(k.part)
			s.Unavailable += at.Sub(k.since)
		}
		out = append(out, s)
	}
	return out
}

// Troubles lists the routes whose demand cannot be met, for readiness: a line for each reason.
func (m *Monitor) Troubles() (out []string) {
	m.mu.Lock()
	routes := m.routes
	m.mu.Unlock()
	now := m.now.Load()
	names, order := map[string][]string{}, []string{}
	for _, r := range routes {
		why := now.Why(r.Spec.Demand)
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
