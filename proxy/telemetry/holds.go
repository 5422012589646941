package telemetry

// HoldOutcome says how one command ended that a route asks a proof for. Each such command has
// exactly one outcome, so the sum over all outcomes is their number.
type HoldOutcome uint8

// The outcomes. HoldTimeout to HoldFailed are answered -UNCONFIRMED, or the client is closed.
const (
	HoldConfirmed HoldOutcome = iota // proven; the client got its reply
	HoldTimeout                      // not proven in time
	HoldPrimary                      // the primary, or its role, changed before the proof
	HoldLink                         // the link that carried it broke before the proof
	HoldFailed                       // the proof cannot be had any more: AOF off, journal failed
	HoldGone                         // its client went away before the proof
	HoldPassed                       // sent although the proof could not be had, and not held for it
	HoldRejected                     // refused with -NODURABLE before it was executed

	NumHoldOutcomes = int(iota)
)

var holdOutcomeNames = [NumHoldOutcomes]string{
	"confirmed", "timeout", "primary", "link", "failed", "gone", "passed", "rejected",
}

// String is the value of the metric attribute "outcome".
func (o HoldOutcome) String() string { return nameOf(holdOutcomeNames[:], int(o)) }

// Unconfirmed reports that the client was told that nothing is proven.
func (o HoldOutcome) Unconfirmed() bool { return o >= HoldTimeout && o <= HoldFailed }

// FenceOutcome says how one fence ended.
type FenceOutcome uint8

// The outcomes.
const (
	FenceProven  FenceOutcome = iota // it proves all that was answered before it began
	FenceShort                       // too few replicas, or no fsync, within its time
	FenceError                       // the server answered an error, or is not set to be believed
	FencePrimary                     // it found another primary, or another role
	FenceBroken                      // its link broke

	NumFenceOutcomes = int(iota)
)

var fenceOutcomeNames = [NumFenceOutcomes]string{
	"proven", "short", "error", "primary", "broken",
}

// String is the value of the metric attribute "outcome".
func (o FenceOutcome) String() string { return nameOf(fenceOutcomeNames[:], int(o)) }

// RouteCounters count what one route did. A command that several routes match counts for the
// first of them in the file, which policy.Match names.
//
// Whoever holds a reply keeps the pointer that it found at Counters.Routes[index] when the command
// was sent, and not the index: a reload gives the index to another route, while the pointer goes
// on to mean the route of that name. Once there is none of that name, it counts into the void.
type RouteCounters struct {
	Outcomes [NumHoldOutcomes]uint64
	// Late counts those of HoldTimeout whose proof came after all.
	Late uint64
	// Hold is how long replies were held, in nanoseconds: from the server's reply to the
	// client's, however it ended.
	Hold Histogram

	Held int64 // replies held now: a gauge, which is counted up and down
}

// DemandCounters are how long replies were held, by what had to be proven of them.
type DemandCounters struct {
	Demand string    // policy.Demand.String: "journal, replicas 1"
	Hold   Histogram // as RouteCounters.Hold
}

// FenceCounters count the fences of one kind. Its fencer keeps the pointer, which outlives reloads.
type FenceCounters struct {
	Kind     string // "journal", "replicas 1", "aof local"
	Outcomes [NumFenceOutcomes]uint64
	Holds    uint64    // held replies that a fence of this kind was the first to prove
	Round    Histogram // from the fence's first byte sent to its end, in nanoseconds

	// Gauges, set just before a Clone.
	InFlight int64
	Waiting  int64 // held replies that no fence of this kind has proven yet
	Oldest   int64 // for how long the oldest of these has waited, in nanoseconds
}

// Demand returns the counters of a demand, new or known. The pointer is good for as long as c is.
func (c *Counters) Demand(demand string) *DemandCounters {
	for _, d := range c.Demands {
		if d.Demand == demand {
			return d
		}
	}
	d := &DemandCounters{Demand: demand}
	c.Demands = append(c.Demands, d)
	return d
}

// Fence returns the counters of a kind of fence, new or known. The pointer is good for as long as
// c is.
func (c *Counters) Fence(kind string) *FenceCounters {
	for _, f := range c.Fences {
		if f.Kind == kind {
			return f
		}
	}
	f := &FenceCounters{Kind: kind}
	c.Fences = append(c.Fences, f)
	return f
}

// relabelRoutes gives each route the counters of its name, if there were any.
func (c *Counters) relabelRoutes(old []string, names []string) {
	was := make(map[string]*RouteCounters, len(old))
	for i, name := range old {
		was[name] = c.Routes[i]
	}
	c.Routes = newRoutes(len(names))
	for i, name := range names {
		if r := was[name]; r != nil {
			c.Routes[i] = r
			delete(was, name)
		}
	}
}

func newRoutes(n int) []*RouteCounters {
	list := make([]*RouteCounters, n)
	for i := range list {
		list[i] = new(RouteCounters)
	}
	return list
}

// addHolds adds what o has counted of routes, by name, and of demands and fences.
func (c *Counters) addHolds(o *Counters) {
	routes := indexByName(c.labels.Routes)
	for i, r := range o.Routes {
		if at, ok := routes[o.labels.Routes[i]]; ok {
			c.Routes[at].add(r)
		}
	}
	for _, d := range o.Demands {
		c.Demand(d.Demand).Hold.Add(&d.Hold)
	}
	for _, f := range o.Fences {
		c.Fence(f.Kind).add(f)
	}
}

func (r *RouteCounters) add(o *RouteCounters) {
	for i, n := range o.Outcomes {
		r.Outcomes[i] += n
	}
	r.Late += o.Late
	r.Hold.Add(&o.Hold)
	r.Held += o.Held
}

func (f *FenceCounters) add(o *FenceCounters) {
	for i, n := range o.Outcomes {
		f.Outcomes[i] += n
	}
	f.Holds += o.Holds
	f.Round.Add(&o.Round)
	f.InFlight += o.InFlight
	f.Waiting += o.Waiting
	f.Oldest = max(f.Oldest, o.Oldest)
}

// cloneEach copies what the pointers of a list point to.
func cloneEach[T any](list []*T) []*T {
	if list == nil {
		return nil
	}
	out := make([]*T, len(list))
	for i, v := range list {
		n := *v
		out[i] = &n
	}
	return out
}
