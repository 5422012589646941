package telemetry

import "slices"

// Labels names the dense indexes of Counters. Immutable; all loops share one until a reload or a
// new command table replaces it.
type Labels struct {
	Commands []string // by policy Command.ID: "get", "config|set"; "" is the unknown command
	Rules    []string // by rule index
	Routes   []string // by policy Route.Index
}

// CommandCount counts the finished commands of one name.
type CommandCount struct {
	Outcomes [NumOutcomes]uint64
	// Observed counts the commands that a rule would have refused, had it been enforced. They count
	// in Outcomes as well.
	Observed uint64
}

// RuleCount counts the decisions of one rule. Each command counts in one field.
type RuleCount struct {
	Allowed   uint64 // a rule that allows let it pass
	Denied    uint64
	Observed  uint64 // the rule would have acted, had it been enforced
	Rewritten uint64 // executed in a form that does not stall the server
	Trashed   uint64 // executed so that it can be undone
	Held      uint64 // answered with a token, held for approval
	Approved  uint64 // passed after an approval
	Throttled uint64 // over the rule's limit
}

// Counters belong to one event loop. Only the loop touches them, without atomics; other goroutines
// get a Clone. Make them by NewCounters.
//
// The hot path is two index operations:
//
//	c.Commands[cmd.ID].Outcomes[outcome]++
//	c.Latency[class].Observe(now - start)
type Counters struct {
	labels *Labels

	Commands []CommandCount // indexed by policy Command.ID
	Rules    []RuleCount    // indexed by rule index

	Routes  []*RouteCounters  // indexed by policy Route.Index; see there
	Demands []*DemandCounters // made by Demand
	Fences  []*FenceCounters  // made by Fence

	// Latency runs from the frame read to the reply complete, in nanoseconds.
	Latency [NumClasses]Histogram

	ClientBytesIn    uint64
	ClientBytesOut   uint64
	UpstreamBytesIn  uint64 // read from links
	UpstreamBytesOut uint64 // written to links

	SessionsAccepted uint64
	SessionsClosed   [NumCloseReasons]uint64
	HoldsExpired     uint64 // commands that waited for the server in vain until upstream.hold was over
	SessionPauses    uint64 // times that reading from a client paused under memory pressure

	LinksOpened [NumLinkKinds]uint64
	LinksBroken [NumLinkKinds]uint64 // closed by the upstream or an error, not by the proxy
	LinksFailed uint64               // dials or handshakes that failed
	PinsRefused uint64               // commands that got no pinned link in time

	LinksRefused uint64 // links not dialled in time, because a limit was reached

	ProtocolErrors uint64 // bad frames from clients
	ReplyErrors    uint64 // malformed replies from the upstream; each closes a link

	Turns  uint64 // rounds of the loop
	Reads  uint64 // read calls
	Writes uint64 // write calls

	// Gauges are set just before a Clone.
	Gauges Gauges
}

// Gauges are the state of a loop at the moment of a copy.
type Gauges struct {
	Sessions        int64
	SessionsPaused  int64 // not read now, under memory pressure
	SessionsHeld    int64 // whose command waits for the server to be reachable
	LinksShared     int64
	LinksPinnedIdle int64
	LinksPinnedBusy int64
	LinksWaiting    int64 // not dialled: they wait for a place under a limit
	// Not yet usable: dialling, or in the handshake.
	LinksSharedConnecting int64
	LinksPinnedConnecting int64

	ClientBufferBytes int64 // input and output held for clients
	LinkBufferBytes   int64 // unsent, for links
	Outstanding       int64 // commands sent or queued, without a reply so far
}

// NewCounters returns zero counters for the commands, rules and routes that l names.
func NewCounters(l *Labels) *Counters {
	return &Counters{
		labels:   l,
		Commands: make([]CommandCount, len(l.Commands)),
		Rules:    make([]RuleCount, len(l.Rules)),
		Routes:   newRoutes(len(l.Routes)),
	}
}

// Labels names the indexes of c.
func (c *Counters) Labels() *Labels { return c.labels }

// Clone returns a copy that shares no mutable memory.
func (c *Counters) Clone() *Counters {
	n := *c
	n.Commands = slices.Clone(c.Commands)
	n.Rules = slices.Clone(c.Rules)
	n.Routes = cloneEach(c.Routes)
	n.Demands, n.Fences = cloneEach(c.Demands), cloneEach(c.Fences)
	return &n
}

// Relabel makes c count by l from now on. Counts move to the indexes of their names in l; counts of
// names that l lacks are dropped, as their series end.
func (c *Counters) Relabel(l *Labels) {
	if c.labels == l {
		return
	}
	old := *c
	c.labels = l
	c.Commands = make([]CommandCount, len(l.Commands))
	c.Rules = make([]RuleCount, len(l.Rules))
	c.addByName(&old)
	c.relabelRoutes(old.labels.Routes, l.Routes)
}

// Add adds all of o to c, gauges too. Where the labels differ, as they can while a reload proceeds
// through the loops, counts are matched by name, and those of names that c lacks are left out.
func (c *Counters) Add(o *Counters) {
	if c.labels == o.labels {
		for i := range o.Commands {
			c.Commands[i].add(&o.Commands[i])
		}
		for i := range o.Rules {
			c.Rules[i].add(&o.Rules[i])
		}
	} else {
		c.addByName(o)
	}
	for i := range o.Latency {
		c.Latency[i].Add(&o.Latency[i])
	}
	c.addHolds(o)
	c.addTotals(o)
	c.Gauges.add(&o.Gauges)
}

func (c *Counters) addByName(o *Counters) {
	commands := indexByName(c.labels.Commands)
	for i := range o.Commands {
		if at, ok := commands[o.labels.Commands[i]]; ok {
			c.Commands[at].add(&o.Commands[i])
		}
	}
	rules := indexByName(c.labels.Rules)
	for i := range o.Rules {
		if at, ok := rules[o.labels.Rules[i]]; ok {
			c.Rules[at].add(&o.Rules[i])
		}
	}
}

func indexByName(names []string) map[string]int {
	m := make(map[string]int, len(names))
	for i, n := range names {
		m[n] = i
	}
	return m
}

func (c *CommandCount) add(o *CommandCount) {
	for i, n := range o.Outcomes {
		c.Outcomes[i] += n
	}
	c.Observed += o.Observed
}

func (c *RuleCount) add(o *RuleCount) {
	c.Allowed += o.Allowed
	c.Denied += o.Denied
	c.Observed += o.Observed
	c.Rewritten += o.Rewritten
	c.Trashed += o.Trashed
	c.Held += o.Held
	c.Approved += o.Approved
	c.Throttled += o.Throttled
}

func (c *Counters) addTotals(o *Counters) {
	c.ClientBytesIn += o.ClientBytesIn
	c.ClientBytesOut += o.ClientBytesOut
	c.UpstreamBytesIn += o.UpstreamBytesIn
	c.UpstreamBytesOut += o.UpstreamBytesOut
	c.SessionsAccepted += o.SessionsAccepted
	for i, n := range o.SessionsClosed {
		c.SessionsClosed[i] += n
	}
	c.HoldsExpired += o.HoldsExpired
	c.SessionPauses += o.SessionPauses
	for i := range o.LinksOpened {
		c.LinksOpened[i] += o.LinksOpened[i]
		c.LinksBroken[i] += o.LinksBroken[i]
	}
	c.LinksFailed += o.LinksFailed
	c.PinsRefused += o.PinsRefused
	c.LinksRefused += o.LinksRefused
	c.ProtocolErrors += o.ProtocolErrors
	c.ReplyErrors += o.ReplyErrors
	c.Turns += o.Turns
	c.Reads += o.Reads
	c.Writes += o.Writes
}

func (g *Gauges) add(o *Gauges) {
	g.Sessions += o.Sessions
	g.SessionsPaused += o.SessionsPaused
	g.SessionsHeld += o.SessionsHeld
	g.LinksShared += o.LinksShared
	g.LinksPinnedIdle += o.LinksPinnedIdle
	g.LinksPinnedBusy += o.LinksPinnedBusy
	g.LinksWaiting += o.LinksWaiting
	g.LinksSharedConnecting += o.LinksSharedConnecting
	g.LinksPinnedConnecting += o.LinksPinnedConnecting
	g.ClientBufferBytes += o.ClientBufferBytes
	g.LinkBufferBytes += o.LinkBufferBytes
	g.Outstanding += o.Outstanding
}
