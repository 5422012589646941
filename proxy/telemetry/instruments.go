package telemetry

import (
	"runtime"

	"go.opentelemetry.io/otel/attribute"
)

// ownState is the state that telemetry has without asking the proxy.
type ownState struct {
	version        string
	ready          bool
	snapshotErrors uint64
	spans          SpanCount
}

// ownInstruments are shown at every scrape, even when the loops do not answer.
var ownInstruments = []instrument{
	{name: "holdfast.build.info", kind: gauge,
		help:    "Always 1; the version of the proxy and of Go that built it.",
		collect: buildInfo},
	{name: "holdfast.ready", kind: gauge,
		help:    "1 when /readyz answers 200.",
		collect: one(func(v *view) int64 { return flag(v.own.ready) })},
	{name: "holdfast.snapshot.errors", kind: counter,
		help:    "Scrapes that the event loops did not answer in time.",
		collect: one(func(v *view) int64 { return int64(v.own.snapshotErrors) })},
	{name: "holdfast.spans", kind: counter,
		help:    "Trace spans: exported, dropped because the queue was full, failed to export.",
		collect: spanPoints},
}

// proxyInstruments are made from a Snapshot.
var proxyInstruments = []instrument{
	{name: "holdfast.commands", kind: counter,
		help:    "Finished commands, by name and outcome.",
		collect: commandPoints},
	{name: "holdfast.commands.observed", kind: counter,
		help:    "Commands that a rule would have refused, had it been enforced.",
		collect: observedPoints},
	{name: "holdfast.command.duration", unit: unitSeconds, kind: histogram,
		help:    "Time from a command's frame read to its reply complete, by class.",
		collect: latencyPoints},
	{name: "holdfast.commands.outstanding", kind: gauge,
		help:    "Commands sent or queued, and not yet answered.",
		collect: state(func(g *Gauges) int64 { return g.Outstanding })},
	{name: "holdfast.rule.hits", kind: counter,
		help:    "Commands that a rule decided, by rule and what became of them.",
		collect: rulePoints},

	{name: "holdfast.sessions", kind: gauge,
		help:    "Client connections.",
		collect: state(func(g *Gauges) int64 { return g.Sessions })},
	{name: "holdfast.sessions.paused", kind: gauge,
		help:    "Client connections that are not read at the moment, because of pressure.",
		collect: state(func(g *Gauges) int64 { return g.SessionsPaused })},
	{name: "holdfast.sessions.held", kind: gauge,
		help:    "Client connections whose command waits for a way to the server (upstream.hold).",
		collect: state(func(g *Gauges) int64 { return g.SessionsHeld })},
	{name: "holdfast.holds.expired", kind: counter,
		help:    "Commands that waited for a way to the server until upstream.hold was over.",
		collect: total(func(c *Counters) uint64 { return c.HoldsExpired })},
	{name: "holdfast.sessions.accepted", kind: counter,
		help:    "Client connections accepted.",
		collect: total(func(c *Counters) uint64 { return c.SessionsAccepted })},
	{name: "holdfast.sessions.closed", kind: counter,
		help:    "Client connections closed, by reason.",
		collect: closePoints},
	{name: "holdfast.session.pauses", kind: counter,
		help:    "Times that reading a client stopped because of pressure.",
		collect: total(func(c *Counters) uint64 { return c.SessionPauses })},
	{name: "holdfast.client.io", unit: unitBytes, kind: counter,
		help: "Bytes read from clients (in) and written to them (out).",
		collect: inOut(func(c *Counters) (in, out uint64) {
			return c.ClientBytesIn, c.ClientBytesOut
		})},
	{name: "holdfast.client.buffer", unit: unitBytes, kind: gauge,
		help:    "Bytes of input and output held for clients.",
		collect: state(func(g *Gauges) int64 { return g.ClientBufferBytes })},
	{name: "holdfast.protocol.errors", kind: counter,
		help:    "Malformed frames from clients.",
		collect: total(func(c *Counters) uint64 { return c.ProtocolErrors })},

	{name: "holdfast.upstream.up", kind: gauge,
		help:    "1 when the upstream answers.",
		collect: one(func(v *view) int64 { return flag(v.snap.Upstream.Up) })},
	{name: "holdfast.upstream.info", kind: gauge,
		help:    "Always 1; what server the upstream is, once known.",
		collect: upstreamInfo},
	{name: "holdfast.upstream.doubt", kind: gauge,
		help:    "1 while its place as the primary is in doubt: writes wait, or are refused.",
		collect: ofSuccession(func(s *SuccessionState) int64 { return flag(s.Doubt) })},
	{name: "holdfast.upstream.moves", kind: counter,
		help:    "Changes of the primary that were followed.",
		collect: ofSuccession(func(s *SuccessionState) int64 { return int64(s.Moves) })},
	{name: "holdfast.sentinels", kind: gauge,
		help:    "Sentinels that count, by state: heard, silent.",
		collect: sentinelPoints},
	{name: "holdfast.candidates", kind: gauge,
		help:    "Servers of upstream.address, by what they say: primary, replica, silent.",
		collect: candidatePoints},
	{name: "holdfast.upstream.io", unit: unitBytes, kind: counter,
		help: "Bytes read from links (in) and written to them (out).",
		collect: inOut(func(c *Counters) (in, out uint64) {
			return c.UpstreamBytesIn, c.UpstreamBytesOut
		})},
	{name: "holdfast.links", kind: gauge,
		help:    "Upstream connections, by kind and state.",
		collect: linkPoints},
	{name: "holdfast.links.opened", kind: counter,
		help:    "Upstream connections that became usable, by kind.",
		collect: byKind(func(c *Counters) *[NumLinkKinds]uint64 { return &c.LinksOpened })},
	{name: "holdfast.links.broken", kind: counter,
		help:    "Upstream connections lost to an error or closed by the upstream, by kind.",
		collect: byKind(func(c *Counters) *[NumLinkKinds]uint64 { return &c.LinksBroken })},
	{name: "holdfast.links.failed", kind: counter,
		help:    "Upstream dials and handshakes that failed.",
		collect: total(func(c *Counters) uint64 { return c.LinksFailed })},
	{name: "holdfast.links.refused", kind: counter,
		help:    "Commands refused because limits.pinned_links was used up.",
		collect: total(func(c *Counters) uint64 { return c.PinsRefused })},
	{name: "holdfast.links.timed_out", kind: counter,
		help:    "Upstream connections that were not opened in time for want of room under a limit.",
		collect: total(func(c *Counters) uint64 { return c.LinksRefused })},
	{name: "holdfast.links.waiting", kind: gauge,
		help:    "Upstream connections that wait, unopened, for room under a limit.",
		collect: state(func(g *Gauges) int64 { return g.LinksWaiting })},
	{name: "holdfast.link.buffer", unit: unitBytes, kind: gauge,
		help:    "Bytes held for links and not yet sent.",
		collect: state(func(g *Gauges) int64 { return g.LinkBufferBytes })},
	{name: "holdfast.reply.errors", kind: counter,
		help:    "Malformed replies from the upstream; each closes a link.",
		collect: total(func(c *Counters) uint64 { return c.ReplyErrors })},

	{name: "holdfast.loop.turns", kind: counter,
		help:    "Rounds of an event loop.",
		collect: perLoop(func(c *Counters) int64 { return int64(c.Turns) })},
	{name: "holdfast.loop.reads", kind: counter,
		help:    "Read calls of an event loop.",
		collect: perLoop(func(c *Counters) int64 { return int64(c.Reads) })},
	{name: "holdfast.loop.writes", kind: counter,
		help:    "Write calls of an event loop.",
		collect: perLoop(func(c *Counters) int64 { return int64(c.Writes) })},
	{name: "holdfast.loop.sessions", kind: gauge,
		help:    "Client connections of an event loop.",
		collect: perLoop(func(c *Counters) int64 { return c.Gauges.Sessions })},

	{name: "holdfast.trash.databases", kind: gauge,
		help:    "Databases that the trash has for flushes, by state: used, free.",
		collect: trashPoints},
	{name: "holdfast.budget.deleted", kind: counter,
		help:    "Keys deleted, as a delete budget counts them.",
		collect: budgetPoints(func(b *BudgetCount) uint64 { return b.Deleted })},
	{name: "holdfast.budget.throttled", kind: counter,
		help:    "Commands that a delete budget refused.",
		collect: budgetPoints(func(b *BudgetCount) uint64 { return b.Throttled })},
	{name: "holdfast.budget.trips", kind: counter,
		help:    "Times that a delete budget was used up.",
		collect: budgetPoints(func(b *BudgetCount) uint64 { return b.Trips })},
	{name: "holdfast.audit.lines", kind: counter,
		help:    "Lines of the audit log, by outcome.",
		collect: auditPoints},

	{name: "holdfast.handshakes", kind: counter,
		help:    "Handshakes of clients, by TLS and the PROXY protocol, by listener and outcome.",
		collect: handshakePoints},
	{name: "holdfast.certificate.not_after.timestamp", unit: unitSeconds, kind: gauge,
		help:    "When a certificate, or the last authority of its place, ends, in seconds since 1970.",
		collect: certificateEnds},
	{name: "holdfast.certificate.unusable", kind: gauge,
		help:    "1 while a certificate's files cannot be used and the previous ones are in force.",
		collect: certificateTrouble},

	{name: "holdfast.takeovers", kind: counter,
		help:    "Takeovers of the sockets and the journal by another process, by this one's side and the outcome.",
		collect: takeoverPoints},
	{name: "holdfast.config.reloads", kind: counter,
		help:    "Reloads of the configuration, by outcome.",
		collect: reloadPoints},
	{name: "holdfast.config.last_reload.timestamp", unit: unitSeconds, kind: gauge,
		help:    "When the configuration in force was loaded, in seconds since 1970.",
		collect: one(func(v *view) int64 { return v.snap.Reloads.Last.Unix() })},
}

func buildInfo(v *view, p *points) {
	p.add(1, attribute.String("version", v.own.version),
		attribute.String("goversion", runtime.Version()))
}

func spanPoints(v *view, p *points) {
	p.add(int64(v.own.spans.Exported), attribute.String("outcome", "exported"))
	p.add(int64(v.own.spans.Dropped), attribute.String("outcome", "dropped"))
	p.add(int64(v.own.spans.Failed), attribute.String("outcome", "failed"))
}

// commandPoints leaves out unused commands: a server has some 400 commands, and an application uses
// 20. Duplicate names (there should be none) are added up, because a duplicate series makes the
// whole scrape invalid.
func commandPoints(v *view, p *points) {
	for name, c := range commandsByName(v.sum) {
		for o, n := range c.Outcomes {
			if n > 0 {
				p.add(int64(n), text("command", name),
					attribute.Stringer("outcome", Outcome(o)))
			}
		}
	}
}

func observedPoints(v *view, p *points) {
	for name, c := range commandsByName(v.sum) {
		if c.Observed > 0 {
			p.add(int64(c.Observed), text("command", name))
		}
	}
}

func commandsByName(sum *Counters) map[string]*CommandCount {
	m := make(map[string]*CommandCount)
	for i := range sum.Commands {
		c := &sum.Commands[i]
		if *c == (CommandCount{}) {
			continue
		}
		name := sum.labels.Commands[i]
		if name == "" {
			name = "unknown"
		}
		if m[name] == nil {
			m[name] = new(CommandCount)
		}
		m[name].add(c)
	}
	return m
}

// bounds are the histogram's in seconds.
var bounds = func() []float64 {
	b := make([]float64, NumBuckets-1)
	for i := range b {
		b[i] = float64(Bound(i)) / 1e9
	}
	return b
}()

func latencyPoints(v *view, p *points) {
	for i := range v.sum.Latency {
		p.addHistogram(&v.sum.Latency[i], attribute.Stringer("class", Class(i)))
	}
}

func rulePoints(v *view, p *points) {
	byName := make(map[string]RuleCount)
	for i := range v.sum.Rules {
		c := byName[v.sum.labels.Rules[i]]
		c.add(&v.sum.Rules[i])
		byName[v.sum.labels.Rules[i]] = c
	}
	for name, c := range byName {
		rule := text("rule", name)
		p.add(int64(c.Allowed), rule, attribute.String("action", "allowed"))
		p.add(int64(c.Denied), rule, attribute.String("action", "denied"))
		p.add(int64(c.Observed), rule, attribute.String("action", "observed"))
		p.add(int64(c.Rewritten), rule, attribute.String("action", "rewritten"))
		p.add(int64(c.Trashed), rule, attribute.String("action", "trashed"))
		p.add(int64(c.Held), rule, attribute.String("action", "held"))
		p.add(int64(c.Approved), rule, attribute.String("action", "approved"))
		p.add(int64(c.Throttled), rule, attribute.String("action", "throttled"))
	}
}

func closePoints(v *view, p *points) {
	for i, n := range v.sum.SessionsClosed {
		p.add(int64(n), attribute.Stringer("reason", CloseReason(i)))
	}
}

// upstreamInfo has no points before the first contact with the server.
func upstreamInfo(v *view, p *points) {
	if u := &v.snap.Upstream; u.Server != "" {
		p.add(1, text("server", u.Server), text("version", u.Version), text("role", u.Role))
	}
}

func linkPoints(v *view, p *points) {
	g := &v.sum.Gauges
	add := func(n int64, kind LinkKind, state string) {
		p.add(n, attribute.Stringer("kind", kind), attribute.String("state", state))
	}
	add(g.LinksShared, LinkShared, "ready")
	add(g.LinksSharedConnecting, LinkShared, "connecting")
	add(g.LinksPinnedIdle, LinkPinned, "idle")
	add(g.LinksPinnedBusy, LinkPinned, "busy")
	add(g.LinksPinnedConnecting, LinkPinned, "connecting")
}

func byKind(get func(c *Counters) *[NumLinkKinds]uint64) collectFunc {
	return func(v *view, p *points) {
		for i, n := range get(v.sum) {
			p.add(int64(n), attribute.Stringer("kind", LinkKind(i)))
		}
	}
}

func trashPoints(v *view, p *points) {
	if t := v.snap.Trash; t != nil {
		p.add(int64(t.Databases-t.Free), attribute.String("state", "used"))
		p.add(int64(t.Free), attribute.String("state", "free"))
	}
}

func sentinelPoints(v *view, p *points) {
	if s := v.snap.Sentinels; s != nil {
		p.add(int64(s.Heard), attribute.String("state", "heard"))
		p.add(int64(s.Of-s.Heard), attribute.String("state", "silent"))
	}
}

func candidatePoints(v *view, p *points) {
	if c := v.snap.Candidates; c != nil {
		p.add(int64(c.Primaries), attribute.String("state", "primary"))
		p.add(int64(c.Replicas), attribute.String("state", "replica"))
		p.add(int64(c.Silent), attribute.String("state", "silent"))
	}
}

// ofSuccession is one that is absent where one address names the upstream.
func ofSuccession(get func(*SuccessionState) int64) collectFunc {
	return func(v *view, p *points) {
		if s := v.snap.Succession; s != nil {
			p.add(get(s))
		}
	}
}

func budgetPoints(of func(*BudgetCount) uint64) collectFunc {
	return func(v *view, p *points) {
		for i := range v.snap.Budgets {
			b := &v.snap.Budgets[i]
			p.add(int64(of(b)), text("budget", b.Name))
		}
	}
}

func auditPoints(v *view, p *points) {
	p.add(int64(v.snap.Audit.Written), attribute.String("outcome", "written"))
	p.add(int64(v.snap.Audit.Dropped), attribute.String("outcome", "dropped"))
	p.add(int64(v.snap.Audit.Failed), attribute.String("outcome", "failed"))
}

func handshakePoints(v *view, p *points) {
	for _, h := range v.snap.Handshakes {
		p.add(int64(h.N), text("listener", h.Listener), text("outcome", h.Outcome))
	}
}

// takeoverPoints has those of all outcomes from the start, so that the first failure is an increase.
func takeoverPoints(v *view, p *points) {
	n := map[[2]string]uint64{}
	for _, t := range v.snap.Takeovers {
		n[[2]string{t.Side, t.Outcome}] = t.N
	}
	for _, key := range [][2]string{{"old", "done"}, {"old", "refused"}, {"old", "failed"}, {"old", "left"}, {"new", "done"},
		{"new", "refused"}, {"new", "failed"}} {
		p.add(int64(n[key]), attribute.String("side", key[0]), attribute.String("outcome", key[1]))
	}
}

func certificateEnds(v *view, p *points) {
	for _, c := range v.snap.Certificates {
		if !c.NotAfter.IsZero() {
			p.add(c.NotAfter.Unix(), text("place", c.Place))
		}
	}
}

func certificateTrouble(v *view, p *points) {
	for _, c := range v.snap.Certificates {
		p.add(flag(c.Unusable), text("place", c.Place))
	}
}

func reloadPoints(v *view, p *points) {
	p.add(int64(v.snap.Reloads.OK), attribute.String("outcome", "ok"))
	p.add(int64(v.snap.Reloads.Failed), attribute.String("outcome", "failed"))
}
