package telemetry

// HoldOutcome is the end of one command for which a route asks for a proof. Each such command has
// exactly one outcome, so the sum over all outcomes is their number.
type HoldOutcome uint8

// The outcomes. HoldTimeout to HoldFailed are answered -UNCONFIRMED, or the client is closed.
const (
	HoldConfirmed HoldOutcome = iota // proven; the client got its reply
	HoldTimeout                      // not proven in time
	HoldPrimary                      // the primary, or its role, changed before the proof
	HoldLink                         // the link that carried it broke before the proof
	HoldFailed                       // the proof became impossible: AOF off, journal failed
	HoldGone                         // its client left before the proof
	HoldPassed                       // sent although the proof was unavailable, and not held for it
	HoldRejected                     // refused with -NODURABLE before it was executed

	NumHoldOutcomes = int(iota)
)

var holdOutcomeNames = [NumHoldOutcomes]string{
	"confirmed", "timeout", "primary", "link", "failed", "gone", "passed", "rejected",
}

// String is the value of the metric attribute "outcome".
func (o HoldOutcome) String() string { return nameOf(holdOutcomeNames[:], int(o)) }

// Unconfirmed reports whether the client got -UNCONFIRMED.
func (o HoldOutcome) Unconfirmed() bool { return o >= HoldTimeout && o <= HoldFailed }

// FenceOutcome is the end of one fence.
type FenceOutcome uint8

// The outcomes.
const (
	FenceProven  FenceOutcome = iota // it proves every write answered before it began
	FenceShort                       // too few replicas, or no fsync, within its time
	FenceError                       // the server answered an error, or its settings void the proof
	FencePrimary                     // it found another primary, or another role
	FenceBroken                      // its link broke

	NumFenceOutcomes = int(iota)
)

var fenceOutcomeNames = [NumFenceOutcomes]string{
	"proven", "short", "error", "primary", "broken",
}

// String is the value of the metric attribute "outcome".
func (o FenceOutcome) String() string { return nameOf(fenceOutcomeNames[:], int(o)) }

// RouteCounters count the commands of one route. A command that several routes match counts for the
// first of them in the file, which policy.Match names.
//
// A held reply keeps the pointer that Counters.Routes[index] had when the command was sent, not the
// index: a reload gives the index to another route, while the pointer still means the route of that
// name. After that route is removed, its counts are dropped.
type RouteCounters struct {
	Outcomes [NumHoldOutcomes]uint64
	// Late counts the commands of HoldTimeout whose proof came after the timeout.
	Late uint64
	// Hold is the time that replies were held, in nanoseconds: from the server's reply to the
	// client's, with any outcome.
	Hold Histogram

	Held int64 // replies held now: a gauge
}

// DemandCounters are the times that replies were held, by demand.
type DemandCounters struct {
	Demand string    // policy.Demand.String: "journal, replicas 1"
	Hold   Histogram // as RouteCounters.Hold
}

// FenceCounters count the fences of one kind. Its fencer keeps the pointer, which outlives reloads.
type FenceCounters struct {
	Kind     string // "journal", "replicas 1", "aof local"
	Outcomes [NumFenceOutcomes]uint64
	Holds    uint64    // held replies proven by a fence of this kind
	Round    Histogram // from the fence's first byte sent to its end, in nanoseconds

	// Gauges, set just before a Clone.
	InFlight int64
	Waiting  int64 // held replies not yet proven by a fence of this kind
	Oldest   int64 // waiting time of the oldest of these, in nanoseconds
}

// Demand returns the counters of a demand, new or known. The pointer is valid as long as c.
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

// Fence returns the counters of a kind of fence, new or known. The pointer is valid as long as c.
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

// relabelRoutes gives each route the counters of its name, if any.
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

// addHolds adds o's counts of routes, by name, and of demands and fences.
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

// cloneEach copies a list and its elements.
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
