package proxy

import (
	"maps"

	"holdfast/proxy/telemetry"
)

// What a worker does once a second: it closes what has been idle for too long.

// sweep closes what has been idle for too long.
func (w *worker) sweep() {
	w.setClock()
	now := w.loop.Now()
	for l := range w.links {
		if l.reqs.len() > 0 || l.owner != nil || l.side != nil {
			continue
		}
		idle := now - l.lastActive
		if l.lane == nil && idle > pinIdle || l.lane != nil && idle > linkIdle && l.spare() {
			l.retire()
		}
	}
	for key, i := range w.identities {
		maps.DeleteFunc(i.lanes, func(_ laneKey, ln *lane) bool {
			return len(ln.links) == 0 && ln != i.recent
		})
		if i.refs == 0 && i.links(w) == 0 {
			delete(w.identities, key)
		}
	}
	if idle := int64(w.limits.IdleTimeout); idle > 0 {
		for _, s := range w.sessions {
			if s.pin == nil && s.outstanding == 0 && s.gate == nil && now-s.active > idle {
				s.close(telemetry.CloseIdle)
			}
		}
	}
	if w.durable != nil {
		w.durable.sweepSides()
	}
	if w.paused && now > w.pausedUntil {
		w.paused, w.pausedAll = false, false
	}
	w.loop.AfterFunc(sweepEvery, w.sweep)
}

// spare reports that a shared link can go when it is idle: all but the first of the lane that the
// identity's sessions used last, by which the next command is most likely to go.
func (l *link) spare() bool {
	return l.retiring || l.lane.links[0] != l || l.ident.refs == 0 || l.lane != l.ident.recent
}

// links counts the links of an identity.
func (i *identity) links(w *worker) int {
	n := 0
	for l := range w.links {
		if l.ident == i {
			n++
		}
	}
	return n
}
