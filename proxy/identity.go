package proxy

// identity is who a session is on the server: a user and the credential by which the client
// proved it. Links are opened with that credential, so a session never rides on a connection that
// it could not have opened itself, and two passwords of one user never share a link.
type identity struct {
	w    *worker
	key  identityKey
	refs int // sessions that have it; worker-owned

	lanes  map[laneKey]*lane
	recent *lane   // the data lane that was used last
	idle   []*link // pinned links at rest, most recently used last
}

// identityKey is comparable so that it can be a map key. The zero value is the client that has
// not authenticated: the server's default user, or nobody where that user has a password.
type identityKey struct {
	user     string
	password string
	authed   bool
	// single is set when the client used AUTH with a password only: it is replayed in the
	// same form, since some servers answer the two forms differently.
	single bool
	// control is set for the proxy's own user, see privileged.go: no session has this identity.
	control bool
	// generation counts up for the client that has not authenticated, see renewAnonymous.
	generation int
}

// userName is the name as the server would show it.
func (i *identity) userName() string {
	if !i.key.authed || i.key.single {
		return "default"
	}
	return i.key.user
}

// authArgs returns the command that opens a link as this identity; nil when there is none.
func (i *identity) authArgs() []string {
	switch {
	case !i.key.authed:
		return nil
	case i.key.single:
		return []string{"aUtH", i.key.password}
	default:
		return []string{"aUtH", i.key.user, i.key.password}
	}
}

// laneKind tells lanes of one key apart; see the package comment.
type laneKind uint8

const (
	laneData laneKind = iota
	laneScript
	laneLobby
)

func (k laneKind) String() string {
	switch k {
	case laneData:
		return "shared"
	case laneScript:
		return "script"
	default:
		return "lobby"
	}
}

type laneKey struct {
	kind  laneKind
	proto uint8
	db    int32
	// name is the clients' own, on the script lane: it is scripts that the slow log is about.
	name string
}

// lane is a set of shared links that are interchangeable for a session without outstanding
// commands. It has one link unless that one stalls.
type lane struct {
	key   laneKey
	ident *identity
	links []*link
}

const (
	// maxLaneLinks bounds the links of one lane.
	maxLaneLinks = 4
	// stallAfter is the age of the oldest outstanding command from which on a lane's link is
	// passed over, in nanoseconds: something blocks that connection and not the server, such
	// as CLIENT PAUSE from elsewhere, a long script or a module that blocks its client.
	stallAfter = int64(20e6)
)

// pick returns the link that the next command of a session goes by.
func (ln *lane) pick(w *worker) *link {
	if ln.key.kind == laneData {
		ln.ident.recent = ln
	}
	var best *link
	for _, l := range ln.links {
		if l.reqs.len() == 0 || !l.ready || w.loop.Now()-l.reqs.front().start < stallAfter {
			return l
		}
		if best == nil || l.reqs.len() < best.reqs.len() {
			best = l
		}
	}
	if best != nil && len(ln.links) >= maxLaneLinks {
		return best
	}
	l := w.newLink(ln.ident, ln.key)
	l.lane = ln
	ln.links = append(ln.links, l)
	return l
}

// remove takes a broken or retired link out of the lane.
func (ln *lane) remove(l *link) {
	for i, x := range ln.links {
		if x == l {
			ln.links = append(ln.links[:i], ln.links[i+1:]...)
			return
		}
	}
}
