package proxy

import (
	"bytes"
	"context"
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
		r.hold.span = rec // it ends when the client has its reply
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
	if w.durable != nil {
		w.durable.gauges()
	}
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

// Snapshot implements telemetry.Source.
func (srv *Server) Snapshot(ctx context.Context) (*telemetry.Snapshot, error) {
	loops, err := gather(ctx, srv, (*worker).snapshot)
	if err != nil {
		return nil, err
	}
	info := srv.up.Load().Info()
	snap := &telemetry.Snapshot{Loops: loops, Upstream: telemetry.UpstreamState{
		Up: info.Up, Server: info.Server, Version: info.Version, Role: info.Role,
	}}
	if srv.recorder != nil {
		snap.Journal = srv.recorder.state()
	}
	srv.mu.Lock()
	snap.Reloads = srv.reloads
	snap.Certificates, snap.Handshakes = srv.certificateStates(), srv.handshakeCounts()
	srv.mu.Unlock()
	snap.Sentinels = srv.topology.metric()
	snap.Audit, snap.Budgets = srv.audited.snapshot(), srv.budgetCounts()
	snap.Proofs, snap.Trash = srv.proofs.snapshot(), srv.trashRoom.metric()
	return snap, nil
}

// Alive returns nil once every event loop has turned, and else the error of ctx. Call it after the
// start (Options.Serving).
func (srv *Server) Alive(ctx context.Context) error {
	_, err := gather(ctx, srv, func(*worker) struct{} { return struct{}{} })
	return err
}

// gather runs f on every loop and returns the results in the order of the workers. Call it from any
// goroutine but a loop's.
func gather[T any](ctx context.Context, srv *Server, f func(*worker) T) ([]T, error) {
	type part struct {
		i int
		v T
	}
	parts := make(chan part, len(srv.workers))
	for i, w := range srv.workers {
		if !w.loop.Post(func() { parts <- part{i, f(w)} }) {
			return nil, ErrServerClosed
		}
	}
	out := make([]T, len(srv.workers))
	for range srv.workers {
		select {
		case p := <-parts:
			out[p.i] = p.v
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// gatherSlices asks one worker after the other for its items, and then for a description of each,
// censusSlice of them in one loop iteration. One caller at a time does so; the others wait.
func gatherSlices[X, T any](ctx context.Context, srv *Server, all func(*worker) []X, describe func(X) (T, bool),
) ([]T, error) {
	select {
	case srv.describing <- struct{}{}:
		defer func() { <-srv.describing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var out []T
	for _, w := range srv.workers {
		left, err := onLoop(ctx, w, func() []X { return all(w) })
		for err == nil && len(left) > 0 {
			now := left[:min(len(left), censusSlice)]
			left = left[len(now):]
			var part []T
			part, err = onLoop(ctx, w, func() []T {
				part := make([]T, 0, len(now))
				for _, x := range now {
					if t, ok := describe(x); ok {
						part = append(part, t)
					}
				}
				return part
			})
			out = append(out, part...)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// onLoop runs f on a worker's loop and returns its result.
func onLoop[T any](ctx context.Context, w *worker, f func() T) (t T, err error) {
	done := make(chan T, 1)
	if !w.loop.Post(func() { done <- f() }) {
		return t, ErrServerClosed
	}
	select {
	case t = <-done:
		return t, nil
	case <-ctx.Done():
		return t, ctx.Err()
	}
}

// NotReady implements telemetry.Readiness.
func (srv *Server) NotReady() []string {
	var out []string
	if srv.draining.Load() {
		out = append(out, "draining")
	}
	if !srv.listening.Load() {
		out = append(out, "not listening yet")
	}
	up := srv.up.Load()
	info := up.Info()
	if !info.Up {
		out = append(out, "upstream "+up.Address()+": "+reason(info.Err))
	}
	for _, why := range info.Refuses() {
		out = append(out, "upstream "+up.Address()+": "+why)
	}
	if troubles, grave := srv.topology.troubles(); grave {
		out = append(out, troubles...)
	}
	if troubles, required := srv.journalTroubles(); required {
		out = append(out, troubles...)
	}
	return out
}

// Degraded implements telemetry.Readiness.
func (srv *Server) Degraded() []string {
	troubles, required := srv.journalTroubles()
	if required {
		troubles = nil
	}
	if srv.recorder != nil {
		troubles = append(troubles, srv.recorder.incidents(false)...)
		troubles = append(troubles, srv.recorder.baseTroubles()...)
		troubles = append(troubles, srv.recorder.roomTroubles()...)
	}
	if silent, grave := srv.topology.troubles(); !grave {
		troubles = append(troubles, silent...)
	}
	troubles = append(troubles, srv.proofs.troubles()...)
	troubles = append(troubles, srv.trashRoom.troubles()...)
	up := srv.up.Load()
	for _, trouble := range up.Info().Shortcomings() {
		troubles = append(troubles, "upstream "+up.Address()+": "+trouble)
	}
	return troubles
}

// journalTroubles lists the journal's faults, and reports whether they make the proxy not ready.
func (srv *Server) journalTroubles() (troubles []string, required bool) {
	if srv.recorder == nil {
		return nil, false
	}
	return srv.recorder.troubles(), srv.recorder.options().Required
}
