package proxy

import "holdfast/policy"

// connState is the connection state that a server would keep for the client: user, protocol
// version, database, names. The server checks each change before it is applied here. For a session
// without a link of its own this is the only copy; a session with its own link follows the state
// there, and may lose track of it.
type connState struct {
	ident *identity
	login loginState
	// certified is the user for whom the client's certificate stands; "": it has none. RESET returns
	// to it.
	certified string
	proto     uint8
	db        int32
	client    policy.Client // user and name, for rules
	name      string
	lib       library
	muted     replyMode // CLIENT REPLY

	redirect redirect // of CLIENT TRACKING … REDIRECT
	mark     waitMark
	// dbUnsure: only the session's own link knows the database, after a SELECT whose reply is not
	// seen. userUnsure: likewise the user, after an AUTH.
	dbUnsure, userUnsure bool

	lanes [laneKinds]*lane // a cache of the lanes of its commands
}

// library is the library's name and version, of CLIENT SETINFO.
type library struct{ name, version string }

// redirect is the session that gets this one's invalidations: its id, and its link's id.
type redirect struct {
	id       uint64
	serverID int64
}

// replyMode follows CLIENT REPLY on the pinned link.
type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // after CLIENT REPLY SKIP: the next command gets no reply
)

// reset resets the state to that of a new connection, except the user and the library, which RESET
// keeps.
func (c *connState) reset() {
	c.proto, c.db, c.dbUnsure, c.userUnsure = 2, 0, false, false
	c.muted, c.redirect, c.mark = replyOn, redirect{}, markNone
	c.setName("")
}

// setIdentity changes the connection's user.
func (c *connState) setIdentity(i *identity) {
	c.ident = i
	c.client.SetUser(i.userName())
	c.forgetLanes()
}

// setDB stores the database that the server has selected.
func (c *connState) setDB(db int32) {
	c.db, c.dbUnsure = db, false
	c.forgetLanes()
}

// setName stores a name that the server has accepted.
func (c *connState) setName(name string) {
	c.name = name
	c.client.SetName(name)
	c.forgetLanes()
}

// apply applies an accepted HELLO, except its login.
func (c *connState) apply(h helloArgs) {
	if h.proto != 0 {
		c.proto = h.proto
	}
	if h.setName {
		c.setName(h.name)
	}
	c.forgetLanes()
}

// noteName applies an accepted CLIENT SETNAME or SETINFO.
func (c *connState) noteName(args [][]byte) {
	name := c.name
	applyName(args, &name, &c.lib)
	if name != c.name {
		c.setName(name)
	}
}

// loseTrack notes a command whose reply the proxy will not see: it may have changed the database or
// the user.
func (c *connState) loseTrack(args [][]byte, b behaviour) {
	c.dbUnsure = c.dbUnsure || b == selectDB
	c.userUnsure = c.userUnsure || b == auth || b == hello && parseHello(args).auth != nil
}

func (c *connState) forgetLanes() { c.lanes = [laneKinds]*lane{} }

// swallowReply reports whether the next reply will not come (or must be dropped), and consumes a
// SKIP.
func (c *connState) swallowReply() bool {
	switch c.muted {
	case replyOff:
		return true
	case replySkipNext:
		c.muted = replyOn
		return true
	}
	return false
}
