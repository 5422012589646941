package proxy

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// connectionConsole implements admin.ConnectionBackend.
type connectionConsole struct {
	loops *loops
	turn  chan struct{} // holds a token while one caller reads sessions or links; the others wait
}

// take waits for the turn to read, which the returned function ends.
func (c connectionConsole) take(ctx context.Context) (end func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Sessions implements admin.Backend.
func (c connectionConsole) Sessions(ctx context.Context, q admin.SessionQuery) ([]admin.Session, int, error) {
	end, err := c.take(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer end()
	all, err := gatherSlices(ctx, c.loops,
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

// Links implements admin.Backend.
func (c connectionConsole) Links(ctx context.Context) ([]admin.Link, error) {
	end, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	attached := map[*link]int{}
	out, err := gatherSlices(ctx, c.loops, func(w *worker) []*link {
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

// KillSession implements admin.Backend.
func (c connectionConsole) KillSession(ctx context.Context, id uint64) (bool, error) {
	found, err := gather(ctx, c.loops, func(w *worker) bool {
		s := w.sessions[id]
		if s != nil {
			s.close(telemetry.CloseKilled)
		}
		return s != nil
	})
	return slices.Contains(found, true), err
}
