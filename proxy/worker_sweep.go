package proxy

import (
	"maps"

	"holdfast/proxy/telemetry"
)

// Once a second, a worker closes connections that have been idle for too long.

// sweep closes links and sessions that have been idle for too long.
func (w *worker) sweep() {
	w.setClock()
	now := w.loop.Now()
	for l := range w.links {
		if l.idle(now) && !l.isWitness() {
			l.retire()
		}
	}
	w.sweepIdentities()
	if idle := int64(w.limits.IdleTimeout); idle > 0 {
		for _, s := range w.sessions {
			if now-s.active > idle && s.idle() {
				s.close(telemetry.CloseIdle)
			}
		}
	}
	w.lookAtPins()
	w.durable.Sweep()
	if w.paused && now > w.pausedUntil {
		w.paused, w.pausedAll = false, false
	}
	w.loop.AfterFunc(sweepEvery, w.sweep)
}

// idle reports whether a link has carried nothing for longer than it is kept.
func (l *link) idle(now int64) bool {
	if l.reqs.len() > 0 || l.owner != nil || l.side != nil || l.probes && !l.ready {
		return false
	}
	unused := now - l.lastActive
	if l.lane == nil {
		return unused > pinIdle && !l.ident.keepsReady(l)
	}
	return unused > linkIdle && l.spare()
}

// sweepIdentities drops lanes without links, and identities without sessions and links.
func (w *worker) sweepIdentities() {
	for key, i := range w.identities {
		i.keepReady()
		maps.DeleteFunc(i.lanes, func(_ laneKey, ln *lane) bool {
			return len(ln.links)+len(ln.parked) == 0 && ln != i.recent
		})
		if i.refs == 0 && i.links(w) == 0 {
			delete(w.identities, key)
			if w.users[key.user]--; w.users[key.user] == 0 {
				delete(w.users, key.user)
			}
		}
	}
}

// spare reports whether a shared link can be closed when idle: all but the first of the identity's
// most recent lane, the most likely one for the next command.
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
