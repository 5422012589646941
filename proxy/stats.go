package proxy

import (
	"bytes"
	"time"

	"holdfast/policy"
	"holdfast/proxy/telemetry"
)

// count records a finished command.
// reply is nil where it was streamed.
func (w *worker) count(r *request, reply []byte, now int64) {
	if r.cmd == nil {
		return
	}
	outcome := telemetry.OutcomeOK
	if len(reply) > 0 && reply[0] == '-' {
		outcome = telemetry.OutcomeError
		w.recheck.onError(w, reply, now)
		if s := r.s; s != nil && s.tx != nil {
			s.tx.noteError(r)
		}
	}
	if r.mode == modeReplace {
		outcome = telemetry.OutcomeDenied
	}
	w.record(r, outcome, reply, now)
}

// countUpstream records a command that was answered -UPSTREAM.
func (w *worker) countUpstream(r *request) {
	if r.cmd != nil {
		w.record(r, telemetry.OutcomeUpstream, nil, w.loop.Now())
	}
}

func (w *worker) record(r *request, outcome telemetry.Outcome, reply []byte, now int64) {
	id := r.cmd.ID
	w.counters.Commands[id].Outcomes[outcome]++
	w.counters.Latency[w.classes[id]].Observe(now - r.start)
	w.sample(r, outcome, reply, now)
}

// sample makes a span of every so many finished commands.
func (w *worker) sample(r *request, outcome telemetry.Outcome, reply []byte, now int64) {
	if w.sampleEvery == 0 {
		return
	}
	if w.untilSample--; w.untilSample == 0 {
		w.untilSample = w.sampleEvery
		w.span(r, outcome, reply, now)
	}
}

// span hands one finished command to the tracer, which does not block.
func (w *worker) span(r *request, outcome telemetry.Outcome, reply []byte, now int64) {
	rec := &telemetry.SpanRecord{
		End: time.Now(), Duration: time.Duration(now - r.start), Command: r.cmd.Name,
		Class: w.classes[r.cmd.ID], Outcome: outcome,
	}
	if outcome == telemetry.OutcomeError {
		code, _, _ := bytes.Cut(trimCRLF(reply[1:]), []byte(" "))
		rec.Error = string(short(code))
	}
	if r.s != nil {
		rec.DB, rec.Session = int(r.s.db), r.s.id
	}
	if r.rule != nil {
		rec.Rule = r.rule.Name
	}
	if r.hold != nil {
		r.hold.Span = rec // it ends when the client has its reply
		return
	}
	w.tel.RecordSpan(*rec)
}

// countOutcome records a command that is answered without being sent.
func (w *worker) countOutcome(cmd *policy.Command, o telemetry.Outcome) {
	w.counters.Commands[cmd.ID].Outcomes[o]++
}

// countDenied records a refused command of s; rule refused it, unless nil.
func (w *worker) countDenied(s *session, cmd *policy.Command, rule *policy.Rule) {
	w.countOutcome(cmd, telemetry.OutcomeDenied)
	now := w.loop.Now()
	w.sample(&request{s: s, cmd: cmd, rule: rule, start: now}, telemetry.OutcomeDenied, nil, now)
}

// snapshot returns a copy of the counters. Runs on the loop.
func (w *worker) snapshot() *telemetry.Counters {
	st := w.loop.Stats()
	c := w.counters
	c.Turns, c.Reads, c.Writes = st.Turns, st.Reads, st.Writes
	g := &c.Gauges
	*g = telemetry.Gauges{Sessions: int64(len(w.sessions)), ClientBufferBytes: w.inputBytes}
	for _, s := range w.sessions {
		g.ClientBufferBytes += int64(s.unread())
		if s.conn.ReadPaused() {
			g.SessionsPaused++
		}
		if s.wait == waitUpstream {
			g.SessionsHeld++
		}
	}
	w.durable.Gauges()
	g.LinksWaiting = int64(len(w.room.waiting))
	for l := range w.links {
		g.Outstanding += int64(l.reqs.len())
		g.LinkBufferBytes += int64(len(l.backlog) + len(l.partial))
		if l.conn != nil {
			g.LinkBufferBytes += int64(l.conn.Buffered())
		}
		*l.gauge(g)++
	}
	return c.Clone()
}

// gauge is the gauge for a link's kind and state.
func (l *link) gauge(g *telemetry.Gauges) *int64 {
	switch {
	case l.lane != nil && !l.ready:
		return &g.LinksSharedConnecting
	case l.lane != nil:
		return &g.LinksShared
	case !l.ready:
		return &g.LinksPinnedConnecting
	case l.owner == nil:
		return &g.LinksPinnedIdle
	}
	return &g.LinksPinnedBusy
}
