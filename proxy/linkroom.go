package proxy

import (
	"slices"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// linkRoom bounds a worker's connections to the server, which limits all its clients together
// (maxclients). There are three bounds: on all links, on the shared links of one user, and on the
// shared links that one client causes through state of its choice, such as its database and its
// name.
//
// At a bound, a link at rest is closed to make room: that costs its next user a dial and nothing
// else. If none is at rest, the new link queues, undialled, with its commands; after LinkWait they
// get an error that says that nothing was executed. The last tenth of all links is reserved for
// shared ones: they serve all clients, and pinned ones may be held for ever.
//
// Links of the control user and of the stranger do not wait: their number is fixed.
type linkRoom struct {
	w       *worker
	limits  roomLimits
	begun   int // links dialled and not closed
	waiting []*link
	ticking bool
	told    seldom.Pace
}

// roomLimits is a worker's share of the limits.
type roomLimits struct {
	all, user, client int
	wait              time.Duration
}

const (
	// roomTick is the pace at which waiting links look for one at rest.
	roomTick = 20 * time.Millisecond
	// roomPause is the least time between two log lines about waiting links.
	roomPause = 10 * time.Second
	// assumedMaxclients is the server's default, used if its value is unknown.
	assumedMaxclients = 10_000
)

// ShareOfServer returns the number of connections that the limits allow to a server with that
// maxclients.
func (l *Limits) ShareOfServer(maxclients int) int {
	if l.UpstreamLinks > 0 {
		return l.UpstreamLinks
	}
	if maxclients <= 0 {
		maxclients = assumedMaxclients
	}
	return max(maxclients*3/4, 1)
}

// setLimits takes over new limits and the server's INFO.
func (r *linkRoom) setLimits(l *Limits, info *upstream.Info, workers int) {
	share := func(n int) int { return max(n/workers, 1) }
	r.limits = roomLimits{
		all: share(l.ShareOfServer(info.Maxclients)), user: share(l.UserLinks),
		client: l.ClientLinks, wait: l.LinkWait,
	}
	r.serveSoon()
}

// open dials a new link, or queues it for room.
func (r *linkRoom) open(l *link) {
	if len(r.waiting) == 0 || l.roomless() {
		if r.bound(l) == "" {
			r.begin(l)
			return
		}
	}
	l.waits = r.w.loop.Now() + int64(r.limits.wait)
	r.waiting = append(r.waiting, l)
	r.serve()
	if l.waits != 0 {
		r.tell(l)
	}
	r.tick()
}

// roomless reports whether the link is exempt from the bounds.
func (l *link) roomless() bool {
	return l.ident.key.control || l.side != nil || l.stranger()
}

func (r *linkRoom) begin(l *link) {
	l.begun, l.waits = true, 0
	r.begun++
	if l.asShared = l.isShared(); l.asShared {
		l.ident.shared++
	}
	r.w.dialOrFail(l)
}

// closed is called for each link that is closed.
func (r *linkRoom) closed(l *link) {
	if l.waits != 0 {
		r.waiting = slices.DeleteFunc(r.waiting, func(x *link) bool { return x == l })
		l.waits = 0
	}
	if !l.begun {
		return
	}
	l.begun = false
	r.begun--
	r.parked(l)
	r.serveSoon()
}

// isShared reports whether clients share the link from now on. A parked link takes no new commands:
// if it counted, stuck links would use up the places of those that let others go on.
func (l *link) isShared() bool { return l.lane != nil && !l.stall.parked }

// parked takes a link off its user's count of shared links.
func (r *linkRoom) parked(l *link) {
	if l.asShared {
		l.asShared = false
		l.ident.shared--
		r.serveSoon()
	}
}

// bound names the limit that leaves no room for the link; "": there is room.
func (r *linkRoom) bound(l *link) string {
	all := r.limits.all
	if !l.isShared() {
		all -= all / 10
	}
	switch {
	case l.roomless():
		return ""
	case r.begun >= all:
		return "upstream_links"
	case !l.isShared():
		return ""
	case l.ident.shared >= r.limits.user:
		return "user_links"
	case l.ident.shared >= r.limits.client && r.broughtAbout(l.lane.by) >= r.limits.client:
		return "client_links"
	}
	return ""
}

// isTight reports whether no link should be opened on the off chance.
func (r *linkRoom) isTight() bool { return len(r.waiting) > 0 || r.begun >= r.limits.all/2 }

// broughtAbout counts the shared links that a session caused.
func (r *linkRoom) broughtAbout(session uint64) (n int) {
	for l := range r.w.links {
		if l.asShared && l.lane.by == session {
			n++
		}
	}
	return n
}

// makeRoom closes the link that has rested longest of those that the limit counts.
func (r *linkRoom) makeRoom(l *link, limit string) bool {
	var best *link
	for x := range r.w.links {
		if !x.atRest() || best != nil && x.lastActive >= best.lastActive {
			continue
		}
		switch limit {
		case "client_links":
			if !x.asShared || x.lane.by != l.lane.by {
				continue
			}
		case "user_links":
			if !x.asShared || x.ident != l.ident {
				continue
			}
		}
		best = x
	}
	if best == nil {
		return false
	}
	best.retire()
	return true
}

// atRest reports whether the link can be closed unnoticed: it has no outstanding requests and no
// waiters.
func (l *link) atRest() bool {
	return l.begun && l.ready && l.owner == nil && l.reqs.len() == 0 && len(l.stalled) == 0 &&
		!l.roomless()
}

// serve dials the links for which there is room now, the oldest first, and fails those that have
// waited too long. One user's or client's bound does not hold up others.
func (r *linkRoom) serve() {
	for _, l := range slices.Clone(r.waiting) {
		if l.waits == 0 {
			continue // closed or begun meanwhile
		}
		limit := r.bound(l)
		for limit != "" && r.makeRoom(l, limit) {
			limit = r.bound(l)
		}
		switch {
		case limit == "":
			r.waiting = slices.DeleteFunc(r.waiting, func(x *link) bool { return x == l })
			r.begin(l)
		case r.w.loop.Now() >= l.waits:
			r.w.counters.LinksRefused++
			l.fail(errNotNow(resp.OwnError(textNoLink(limit))))
		}
	}
}

// serveSoon posts serve to the loop.
func (r *linkRoom) serveSoon() {
	if len(r.waiting) > 0 {
		r.w.later(r.serve)
	}
}

// tick serves repeatedly while links wait: one may have come to rest.
func (r *linkRoom) tick() {
	if r.ticking || len(r.waiting) == 0 {
		return
	}
	r.ticking = true
	r.w.loop.AfterFunc(roomTick, func() {
		r.ticking = false
		r.serve()
		r.tick()
	})
}

// tell logs that links wait, at most every ten seconds.
func (r *linkRoom) tell(l *link) {
	if !r.told.Passes("", r.w.loop.Now(), roomPause) {
		return
	}
	r.w.log.Warn("connections to the server are used up; commands wait for one", "limit",
		"limits."+r.bound(l), "user", l.ident.userName(), "links", r.begun, "waiting", len(r.waiting))
}
