package proxy

import (
	"slices"

	"holdfast/proxy/certs"
)

// identity is a login on the server, with the links that use it.
//
// A named user's identity is the user and the password that the client proved: sessions of two
// passwords never share a link, since the user may be deleted and recreated between two logins. A
// later change of the password ends no session (otherPasswords). The user default cannot be
// deleted, and the server never revokes a connection's login as default. So all sessions ever let
// in as default share one identity, whatever their password, and its links log in with any
// credential that the server accepts now (logins). A session that is not logged in has the
// stranger's identity, whose links carry only the commands before a login (door.go).
type identity struct {
	w    *worker
	key  identityKey
	refs int // sessions that have it; worker-owned

	leftAt  int64 // loop time at which the last session let go of it
	heavyAt int64 // loop time at which a new session's replies turned out to be heavy; 0: never

	shared   int              // its shared links that count in linkRoom.begun
	secret   string           // of default: the password proved last; "": none
	vouched  certs.Credential // of a certified user: used last
	barred   int64            // loop time until which its certificate is not shown to the server again
	opaque   bool             // one of its clients has sent opaque code
	doubting bool             // a check whether the server still accepts the password is under way (loggedout.go)

	lanes  map[laneKey]*lane
	recent *lane   // the data lane used last
	idle   []*link // pinned links at rest, most recently used last
	ready  []*readyPins
}

// identityKey is comparable so that it can be a map key. The zero value is the stranger.
type identityKey struct {
	user     string
	password string // of a named user
	authed   bool
	// certified is set for sessions whose certificates stand for the user; password is empty.
	certified bool
	// control is set for the proxy's own user, see privileged.go: no session has this identity.
	control bool
}

// defaultUser is the server's name for a connection without a login.
const defaultUser = "default"

// defaultKey is the identity of every session of the user default.
var defaultKey = identityKey{user: defaultUser, authed: true}

// credential is the user and password of a login.
type credential struct{ user, password string }

// key is the identity that a proven credential gives.
func (c credential) key() identityKey {
	if c.user == defaultUser {
		return defaultKey
	}
	return identityKey{user: c.user, password: c.password, authed: true}
}

// userName is the name as the server would show it.
func (i *identity) userName() string {
	if i.key.user == "" {
		return defaultUser
	}
	return i.key.user
}

// logins lists the ways to log in as this identity, in the order of the attempts. A nil entry sends
// no login, which the server accepts while the user default has no password.
func (i *identity) logins() [][]string {
	if i.key != defaultKey {
		if !i.key.authed {
			return [][]string{nil}
		}
		cred := i.credential()
		if cred.Certificate != nil {
			return [][]string{nil}
		}
		ways := [][]string{{"aUtH", i.userName(), cred.Password}}
		for _, password := range i.otherPasswords() {
			ways = append(ways, []string{"aUtH", i.userName(), password})
		}
		return ways
	}
	var ways [][]string
	if i.secret != "" {
		ways = append(ways, []string{"aUtH", defaultUser, i.secret})
	} else {
		ways = append(ways, nil)
	}
	user, password := i.w.up.Login()
	if (user == "" || user == defaultUser) && password != "" && password != i.secret {
		ways = append(ways, []string{"aUtH", defaultUser, password})
	}
	return ways
}

// laneKind tells lanes of one key apart; see the package comment.
type laneKind uint8

const (
	laneData laneKind = iota
	laneScript
	laneLobby
	// laneBulk is laneData for sessions with heavy replies; see window.go.
	laneBulk
	// laneHeld and laneHeldScript take the commands that CLIENT PAUSE holds up, during the pause.
	// So it holds up no others, and each client's wait on a link of their own while links are
	// plenty (apart).
	laneHeld
	laneHeldScript

	laneKinds = iota
)

func (k laneKind) isHeld() bool { return k == laneHeld || k == laneHeldScript }

// runsCode reports that scripts go by lanes of that kind, as the guard's user where there is one.
func (k laneKind) runsCode() bool { return k == laneScript || k == laneHeldScript }

// whileHeld is the lane that takes the place of a lane of kind k.
func (k laneKind) whileHeld() laneKind {
	switch k {
	case laneData, laneBulk:
		return laneHeld
	case laneScript:
		return laneHeldScript
	}
	return k
}

func (k laneKind) String() string {
	switch k {
	case laneData:
		return "shared"
	case laneScript:
		return "script"
	case laneHeld, laneHeldScript:
		return "held"
	case laneBulk:
		return "bulk"
	default:
		return "lobby"
	}
}

type laneKey struct {
	kind  laneKind
	proto uint8
	db    int32
	// name is the clients' own, on the script lane: scripts are the usual entries of the slow log.
	name string
}

// lane is a set of shared links that are interchangeable for a session without outstanding
// commands. It has one link unless that one stalls or the lane is for held commands.
type lane struct {
	key   laneKey
	ident *identity
	by    uint64 // the session for which it was made
	links []*link
	// parked are links that are stuck while the server goes on; see stall.go.
	parked []*link
}

const (
	// maxLaneLinks bounds the links of one lane, without those that are parked.
	maxLaneLinks = 4
	// stallAfter, in nanoseconds, is the age of the oldest outstanding command at which a lane's
	// link is passed over. The connection is blocked and not the server: by CLIENT PAUSE from
	// elsewhere, a long script or a module that blocks its client.
	stallAfter = int64(20e6)
	// maxHeldLinks is how many links a lane of held commands opens to keep clients apart.
	maxHeldLinks = 8
)

// pick returns the link for the next command of a session.
func (ln *lane) pick(w *worker) *link {
	if ln.key.kind == laneData {
		ln.ident.recent = ln
	}
	apart := ln.key.kind.isHeld() && ln.apart(w)
	var best *link
	for _, l := range ln.links {
		if l.reqs.len() == 0 || !apart && !(l.streaming && ln.key.kind == laneData) &&
			(w.loop.Now()-l.reqs.front().start < stallAfter || l.conn == nil) {
			return l
		}
		if best == nil || l.reqs.len() < best.reqs.len() {
			best = l
		}
	}
	if best != nil && !apart && len(ln.links) >= maxLaneLinks {
		return best
	}
	if now := ln.ident.lane(ln.key); now != ln {
		return now.pick(w) // the sweep dropped ln, which a session remembered, and another took its place
	}
	l := w.makeLink(ln.ident, ln.key)
	l.lane = ln
	ln.links = append(ln.links, l)
	w.room.open(l)
	return l
}

// apart reports that the next client's held command gets a link without other clients. The server
// then counts each client in blocked_clients, as without a proxy. Held commands use at most half of
// each bound: they never wait for a link when they can share one, and leave room for the others.
func (ln *lane) apart(w *worker) bool {
	n, limits := len(ln.links), &w.room.limits
	return n < maxHeldLinks && 2*n < limits.client && 2*ln.ident.shared < limits.user && !w.room.isTight()
}

// remove takes a broken, retired or parked link out of the lane.
func (ln *lane) remove(l *link) {
	same := func(x *link) bool { return x == l }
	ln.links = slices.DeleteFunc(ln.links, same)
	ln.parked = slices.DeleteFunc(ln.parked, same)
}
