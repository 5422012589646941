package proxy

import (
	"context"
	"os"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// status is the state of the whole proxy: for telemetry, for readiness, and for SHOW STATS. It reads
// every part, and changes none.
type status struct{ srv *Server }

// Snapshot implements telemetry.Source.
func (s *status) Snapshot(ctx context.Context) (*telemetry.Snapshot, error) {
	srv := s.srv
	loops, err := gather(ctx, srv.loops, (*worker).snapshot)
	if err != nil {
		return nil, err
	}
	info := srv.up.Load().Info()
	snap := &telemetry.Snapshot{Loops: loops, Upstream: telemetry.UpstreamState{
		Up: info.Up, Server: info.Server, Version: info.Version, Role: info.Role,
	}}
	if srv.recorder != nil {
		snap.Journal = srv.recorder.State()
	}
	srv.mu.Lock()
	snap.Reloads = srv.reloads
	snap.Certificates, snap.Handshakes = srv.certificateStates(), srv.handshakeCounts()
	srv.mu.Unlock()
	snap.Succession, snap.Sentinels, snap.Candidates = srv.topology.metric()
	snap.Audit, snap.Budgets = telemetry.AuditCount(srv.audit.Counts()), srv.budgets.counts()
	snap.Proofs, snap.Trash = srv.proofs.Snapshot(), srv.trashRoom.Metric()
	snap.Takeovers = srv.takeovers()
	return snap, nil
}

// NotReady implements telemetry.Readiness.
func (s *status) NotReady() []string {
	srv := s.srv
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
	if troubles, required := s.journalTroubles(); required {
		out = append(out, troubles...)
	}
	return out
}

// Degraded implements telemetry.Readiness.
func (s *status) Degraded() []string {
	srv := s.srv
	troubles, required := s.journalTroubles()
	if required {
		troubles = nil
	}
	if srv.recorder != nil {
		troubles = append(troubles, srv.recorder.Degraded()...)
	}
	if silent, grave := srv.topology.troubles(); !grave {
		troubles = append(troubles, silent...)
	}
	troubles = append(troubles, srv.proofs.Troubles()...)
	troubles = append(troubles, srv.trashRoom.Troubles()...)
	up := srv.up.Load()
	for _, trouble := range up.Info().Shortcomings() {
		troubles = append(troubles, "upstream "+up.Address()+": "+trouble)
	}
	return troubles
}

// journalTroubles lists the journal's faults, and reports whether they make the proxy not ready.
func (s *status) journalTroubles() (troubles []string, required bool) {
	srv := s.srv
	if srv.recorder == nil {
		return nil, false
	}
	return srv.recorder.Troubles(), srv.recorder.Required()
}

// Stats implements admin.ProcessBackend.
func (s *status) Stats(ctx context.Context) (*admin.Stats, error) {
	srv := s.srv
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	up := srv.up.Load()
	c, info := snap.Sum(), up.Info()
	g := &c.Gauges
	st := &admin.Stats{
		Version: srv.opts.Version, Config: srv.opts.ConfigFile, PID: os.Getpid(), Uptime: time.Since(srv.startedAt),
		Workers: len(srv.loops.workers), Driver: srv.driver(), Draining: srv.draining.Load(),
		NotReady: s.NotReady(), Degraded: s.Degraded(),
		Upstream: admin.Upstream{Address: up.Address(), Up: info.Up, Since: time.Since(info.Since),
			Server: info.Server, Version: info.Version, Role: info.Role, RunID: info.RunID},
		Sessions: g.Sessions, SessionsPaused: g.SessionsPaused, SessionsAccepted: c.SessionsAccepted,
		LinksShared: g.LinksShared, LinksPinnedIdle: g.LinksPinnedIdle, LinksPinnedBusy: g.LinksPinnedBusy,
		LinksConnecting: g.LinksSharedConnecting + g.LinksPinnedConnecting,
		Outstanding:     g.Outstanding, ProtocolErrors: c.ProtocolErrors,
		ClientBytesIn: c.ClientBytesIn, ClientBytesOut: c.ClientBytesOut,
		UpstreamBytesIn: c.UpstreamBytesIn, UpstreamBytesOut: c.UpstreamBytesOut,
		ClientBufferBytes: g.ClientBufferBytes, LinkBufferBytes: g.LinkBufferBytes,
	}
	if !info.Up && info.Err != nil {
		st.Upstream.Error = info.Err.Error()
	}
	for i := range info.Replicas {
		if r := &info.Replicas[i]; r.Port != 0 { // else it is a journal
			st.Upstream.Replicas = append(st.Upstream.Replicas, admin.Replica{Address: r.Address(),
				State: r.State, Offset: r.Offset, Lag: time.Duration(r.Lag) * time.Second})
		}
	}
	st.Upstream.Sentinels, st.Upstream.Candidates = srv.topology.describe()
	if st.Upstream.Outage, err = outageOf(ctx, srv.loops); err != nil {
		return nil, err
	}
	for _, n := range c.LinksBroken {
		st.LinksBroken += n
	}
	sumCommands(st, c)
	return st, nil
}

func sumCommands(st *admin.Stats, c *telemetry.Counters) {
	for i := range c.Commands {
		o := &c.Commands[i].Outcomes
		for _, n := range o {
			st.Commands += n
		}
		st.CommandsError += o[telemetry.OutcomeError]
		st.CommandsDenied += o[telemetry.OutcomeDenied]
		st.CommandsUpstream += o[telemetry.OutcomeUpstream]
		st.CommandsLocal += o[telemetry.OutcomeLocal]
		st.CommandsObserved += c.Commands[i].Observed
	}
	for i := range c.Latency {
		h := &c.Latency[i]
		n := h.Count()
		if n == 0 {
			continue
		}
		st.Latency = append(st.Latency, admin.Latency{
			Class: telemetry.Class(i).String(), Count: n, Mean: time.Duration(h.Sum / n),
			P50: time.Duration(h.Quantile(0.5)), P99: time.Duration(h.Quantile(0.99)),
			P999: time.Duration(h.Quantile(0.999)),
		})
	}
}
