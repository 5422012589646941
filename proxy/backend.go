package proxy

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// Sessions implements admin.Backend.
func (srv *Server) Sessions(ctx context.Context, q admin.SessionQuery) ([]admin.Session, int, error) {
	all, err := gatherSlices(ctx, srv,
		func(w *worker) []*session { return slices.Collect(maps.Values(w.sessions)) },
		func(s *session) (admin.Session, bool) {
			if s.closed {
				return admin.Session{}, false
			}
			return s.describe(), true
		})
	if err != nil {
		return nil, 0, err
	}
	all = slices.DeleteFunc(all, func(a admin.Session) bool { return !a.Matches(q.Match) })
	slices.SortFunc(all, func(a, b admin.Session) int { return int(int64(a.ID) - int64(b.ID)) })
	total := len(all)
	if q.Limit > 0 && total > q.Limit {
		all = all[:q.Limit]
	}
	return all, total, nil
}

func (s *session) describe() admin.Session {
	v := s.view()
	a := admin.Session{
		ID: s.id, Loop: s.w.id, Addr: v.addr, Listener: s.listener.name, User: v.user,
		Name: v.name, Protocol: int(s.proto), DB: int(s.db), Age: v.age, Idle: v.idle,
		State: s.state(), Paused: s.conn.ReadPaused(), Commands: s.traffic.commands,
		Outstanding: s.outstanding, InputBuffer: int64(s.in.kept()),
		OutputBuffer: int64(s.unread()),
	}
	if s.last != nil {
		a.LastCommand = s.last.Name
	}
	if v.lib.name != "" {
		a.Library = v.lib.name + " " + v.lib.version
	}
	if s.pin != nil {
		a.Link = s.pin.id
	}
	return a
}

// state names the reason why the session's command waits unsent, or why it holds a pinned link, or
// that its replies wait for a proof.
func (s *session) state() string {
	switch {
	case s.wait == waitUpstream:
		return "no upstream"
	case s.wait == waitProof:
		return "no proof"
	case s.pin == nil && s.gate != nil && s.gate.holds.len() > 0:
		return "held"
	case s.pin == nil:
		return ""
	case s.pin.raw:
		return "replica"
	case s.pin.sub.monitor:
		return "monitor"
	case s.tx != nil:
		return "multi"
	case s.held&holdWatch != 0:
		return "watch"
	case s.pin.sub.active:
		return "subscribed"
	case s.held&holdState != 0:
		return "stateful"
	}
	return "blocked"
}

// Links implements admin.Backend.
func (srv *Server) Links(ctx context.Context) ([]admin.Link, error) {
	attached := map[*link]int{}
	out, err := gatherSlices(ctx, srv, func(w *worker) []*link {
		for _, s := range w.sessions {
			if ln := s.lanes[laneData]; ln != nil && len(ln.links) > 0 {
				attached[ln.links[0]]++
			}
		}
		return slices.Collect(maps.Keys(w.links))
	}, func(l *link) (admin.Link, bool) {
		if l.closed {
			return admin.Link{}, false
		}
		a := l.describe()
		if l.lane != nil {
			a.Sessions = attached[l]
		}
		return a, true
	})
	slices.SortFunc(out, func(a, b admin.Link) int {
		return cmp.Or(cmp.Compare(a.Loop, b.Loop), cmp.Compare(a.ID, b.ID))
	})
	return out, err
}

func (l *link) describe() admin.Link {
	now := l.w.loop.Now()
	a := admin.Link{
		ID: l.id, Loop: l.w.id, Kind: "pinned", State: "ready", User: l.ident.userName(),
		Protocol: int(l.proto), DB: int(l.db), LocalAddr: l.localAddr,
		RemoteAddr: l.up.Address(), ServerID: l.serverID,
		Age: time.Duration(now - l.opened), Idle: time.Duration(now - l.lastActive),
		Outstanding: l.reqs.len(), Queued: int64(len(l.backlog)), Commands: l.commands,
	}
	switch {
	case l.retiring:
		a.State = "retiring"
	case !l.ready:
		a.State = "connecting"
	case l.lane == nil && l.owner == nil:
		a.State = "idle"
	case l.reqs.len() > 0:
		a.State = "busy"
	}
	if l.lane != nil {
		a.Kind = l.lane.key.kind.String()
	}
	if l.side != nil {
		a.Kind = "fence"
	}
	if l.owner != nil {
		a.Session, a.Sessions = l.owner.id, 1
	}
	if l.conn != nil {
		a.Queued += int64(l.conn.Buffered())
	}
	return a
}

// Stats implements admin.Backend.
func (srv *Server) Stats(ctx context.Context) (*admin.Stats, error) {
	snap, err := srv.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	up := srv.up.Load()
	c, info := snap.Sum(), up.Info()
	g := &c.Gauges
	st := &admin.Stats{
		Version: srv.opts.Version, Config: srv.opts.ConfigFile, PID: os.Getpid(), Uptime: time.Since(srv.startedAt),
		Workers: len(srv.workers), Driver: srv.driver(), Draining: srv.draining.Load(),
		NotReady: srv.NotReady(), Degraded: srv.Degraded(),
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
	st.Upstream.Sentinels = srv.topology.describe()
	if st.Upstream.Outage, err = srv.outage(ctx); err != nil {
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

// Config implements admin.Backend.
func (srv *Server) Config(context.Context) ([]admin.Setting, error) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.current.Settings, nil
}

// Rules implements admin.Backend.
func (srv *Server) Rules(ctx context.Context) ([]admin.Rule, error) {
	type part struct {
		rules []admin.Rule
	}
	parts, err := gather(ctx, srv, func(w *worker) part {
		var p part
		for _, r := range w.policy.Rules() {
			n := w.counters.Rules[r.Index]
			mode := "enforce"
			if r.Observe {
				mode = "observe"
			}
			p.rules = append(p.rules, admin.Rule{
				Name: r.Name, Action: r.Action.String(), Enforcement: mode,
				Commands: r.Spec.Commands, Except: r.Spec.Except,
				Allowed: n.Allowed, Denied: n.Denied, Observed: n.Observed,
				Rewritten: n.Rewritten, Trashed: n.Trashed, Held: n.Held,
				Approved: n.Approved, Throttled: n.Throttled,
			})
		}
		return p
	})
	if err != nil {
		return nil, err
	}
	out := parts[0].rules
	for _, p := range parts[1:] {
		for i := range min(len(out), len(p.rules)) {
			out[i].Add(&p.rules[i])
		}
	}
	return out, nil
}

// Drain implements admin.Backend.
func (srv *Server) Drain(context.Context) error {
	srv.drainOnce.Do(func() { close(srv.drainNow) })
	return nil
}

// KillSession implements admin.Backend.
func (srv *Server) KillSession(ctx context.Context, id uint64) (bool, error) {
	found, err := gather(ctx, srv, func(w *worker) bool {
		s := w.sessions[id]
		if s != nil {
			s.close(telemetry.CloseKilled)
		}
		return s != nil
	})
	return slices.Contains(found, true), err
}
