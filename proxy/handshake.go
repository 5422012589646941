package proxy

import (
	"bytes"
	"errors"
	"strconv"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// prepStep is one command that brings the connection into the state that the session expects.
type prepStep struct {
	args  []string
	frame []byte // sent unchanged instead of args
	// must: a refusal makes the link useless.
	must bool
	// login: the step is a login; after a refusal the identity may have another.
	login bool
	// void: the reply no longer matters.
	void bool
	// instead is tried after the current steps when a step that must succeed was refused.
	instead func(l *link) []prepStep
	done    func(l *link, reply []byte)
	// accepts, if set, judges the reply instead of must.
	accepts func(l *link, reply []byte) bool
}

// openSteps are the commands of a new connection. They are spelled in mixed case, which
// distinguishes the proxy's own commands from the clients' in a MONITOR stream (pubsub.go).
func (l *link) openSteps() []prepStep {
	var steps []prepStep
	if g := l.w.guard; g != nil && g.On(l.up) && l.w.guards(l) {
		l.guard = g
		steps = append(steps, prepStep{args: l.guardAuth(), must: true, instead: (*link).guardMissing})
	} else if auth := l.authArgs(); auth != nil {
		steps = append(steps, prepStep{args: auth, must: true, login: true})
	} else if l.up.ShowsCertificate() && !l.ident.key.control && !l.showsUser() {
		// Where the server takes the proxy's certificate for a user, RESET makes the connection the
		// user default, as clients expect it.
		steps = append(steps, prepStep{args: []string{"rEsEt"}})
	}
	steps = append(steps, l.helloStep())
	if l.showsUser() {
		steps = append(steps, prepStep{args: []string{"aCl", "wHoAmI"}, accepts: (*link).isItself})
	}
	if l.db != 0 {
		steps = append(steps, l.selectStep())
	}
	return steps
}

// helloStep sets the protocol version and the name, and reads the connection's id. HELLO needs no
// permission, while CLIENT ID and SETNAME would add lines to ACL LOG for each connection of a user
// without theirs. The server answers -NOAUTH before a login.
func (l *link) helloStep() prepStep {
	args := []string{"hElLo", strconv.Itoa(int(l.proto))}
	if l.name != "" {
		args = append(args, "SETNAME", l.name)
	}
	return prepStep{args: args, must: l.proto == 3 && !l.stranger(), done: (*link).gotID}
}

// nameStep names the connection l.name.
func (l *link) nameStep() prepStep {
	return prepStep{args: []string{"hElLo", strconv.Itoa(int(l.proto)), "SETNAME", l.name}}
}

// selectStep makes the link's database current.
func (l *link) selectStep() prepStep {
	st := prepStep{args: selectArgs(l.db), must: true}
	if l.authArgs() != nil {
		st.instead = (*link).selectFirst
	}
	return st
}

// authArgs returns the link's login command; nil: none.
func (l *link) authArgs() []string {
	ways := l.ident.logins()
	return ways[min(l.login, len(ways)-1)]
}

// stranger reports whether the link stays without a login.
func (l *link) stranger() bool { return l.ident == l.w.stranger }

// loginOtherwise makes the link try the next of its identity's logins; false: no further login.
func (l *link) loginOtherwise() bool {
	if l.guard != nil || l.login+1 >= len(l.ident.logins()) {
		return false
	}
	l.login++
	for i := range l.prep { // the current steps fail for lack of the login
		l.prep[i].void = true
	}
	l.later = append(l.openSteps(), l.later...)
	return true
}

// selectFirst selects the database for a user without permission for SELECT: like some clients, it
// selects first and logs in afterwards. It sends the login once the other replies have come:
// servers drop the error of a failed login while earlier replies are unwritten (addAuthErrReply),
// and the link would wait for it.
func (l *link) selectFirst() []prepStep {
	login := prepStep{args: l.authArgs(), must: true}
	if l.guard != nil {
		login.args = l.guardAuth()
	}
	then := func(l *link, _ []byte) { l.later = append([]prepStep{login, l.helloStep()}, l.later...) }
	return []prepStep{
		{args: []string{"rEsEt"}, must: true},
		{args: selectArgs(l.db), must: true, done: then},
	}
}

func (l *link) gotID(reply []byte) {
	if from, to := helloID(reply); from > 0 {
		l.serverID, _ = strconv.ParseInt(string(reply[from:to]), 10, 64)
	}
}

// prepare sends steps and holds requests until all are answered.
func (l *link) prepare(steps []prepStep) {
	if len(steps) == 0 {
		l.becomeReady()
		return
	}
	l.ready = false
	l.prep, l.prepAt = steps, l.w.loop.Now()
	l.w.beforeOwn(l.sendSteps)
}

// sendSteps sends the current steps.
func (l *link) sendSteps() {
	if l.closed {
		return
	}
	l.prepAt = l.w.loop.Now()
	var b []byte
	for _, st := range l.prep {
		if b = append(b, st.frame...); st.frame == nil {
			b = resp.AppendCommandStrings(b, st.args...)
		}
	}
	l.injected += uint64(len(b))
	l.conn.Write(b)
}

func (l *link) becomeReady() {
	l.ready = true
	l.prep = nil
	if l.w.outage.on && l.up == l.w.up {
		l.w.outage.over()
	}
	if len(l.backlog) > 0 {
		l.conn.WriteOwned(l.backlog)
		l.backlog = nil
	}
	l.tellReady()
	if l.closed {
		return
	}
	if l.orphan {
		l.abandon()
		return
	}
	if len(l.stalled) > 0 && !l.full() {
		l.wakeStalled()
	}
}

// whenReady runs f once the link is ready, or has failed.
func (l *link) whenReady(f func(*link)) {
	if l.ready || l.closed {
		f(l)
		return
	}
	l.onReady = append(l.onReady, f)
}

// tellReady runs each function of whenReady once, even if one of them closes the link.
func (l *link) tellReady() {
	fs := l.onReady
	l.onReady = nil
	for _, f := range fs {
		f(l)
	}
}

// prepared handles the reply to the first outstanding step.
func (l *link) prepared(reply []byte) {
	if err := l.turnedAway(reply); err != nil {
		l.fail(err)
		return
	}
	st := l.prep[0]
	l.prep = l.prep[1:]
	notIn := bytes.HasPrefix(reply, []byte("-NOAUTH")) && !l.stranger()
	switch {
	case st.void:
	case st.accepts != nil:
		if !st.accepts(l, reply) {
			l.refused(reply)
			return
		}
	case reply[0] == '-' && (st.login && !isPassing(reply) || notIn):
		if !l.loginOtherwise() {
			l.refused(reply)
			return
		}
	case reply[0] != '-' || !st.must:
	case st.instead != nil:
		l.later = append(st.instead(l), l.later...)
		if l.closed {
			return
		}
	default:
		l.refused(reply)
		return
	}
	l.w.saw(l.prepAt, nil, reply)
	if st.done != nil && reply[0] != '-' && !st.void {
		st.done(l, reply)
	}
	if len(l.prep) == 0 {
		steps := l.later
		l.later = nil
		l.prepare(steps)
	}
}

// turnedAway is why the link's server takes no connection of ours; nil: it does.
func (l *link) turnedAway(reply []byte) error {
	if text := string(trimCRLF(short(reply[1:]))); reply[0] == '-' && l.opening() &&
		upstream.TurnsAway(text) {
		return errTurnedAway(text)
	}
	if l.up.PrimaryOnly() && saysReplica(reply) {
		return errNotPrimary
	}
	return nil
}

// errRefused is the server's refusal to restore a session's connection state: the user is gone, the
// password changed, or the database is no longer allowed.
var errRefused = errors.New("proxy: the server refused the connection's user or database")

// errNotPrimary ends a link to a server that is not the primary which the sentinels should name.
var errNotPrimary = errors.New("the server is a replica, and the sentinels have not named the primary")

// saysReplica reports whether a reply is HELLO's, and its role is not that of a primary.
func saysReplica(reply []byte) bool {
	if reply[0] != '*' && reply[0] != '%' {
		return false
	}
	_, rest, ok := bytes.Cut(reply, []byte("$4\r\nrole\r\n"))
	return ok && !bytes.HasPrefix(rest, []byte("$6\r\nmaster\r\n"))
}

// errNotNow is a passing refusal by the server; the client gets its text.
type errNotNow string

func (e errNotNow) Error() string { return string(e) }

// refused ends a link whose preparation the server refused. Without a proxy the client's connection
// would fail; here the sessions that wait on this link lose theirs.
func (l *link) refused(reply []byte) {
	if isPassing(reply) {
		l.fail(errNotNow(trimCRLF(reply[1:]))) // a passing error; the user stays valid
		return
	}
	l.w.log.Warn("the server refused a link", "user", l.ident.userName(), "db", l.db,
		"reply", string(trimCRLF(reply)))
	if l.ident.key.control {
		l.up.DoubtLogin()
	}
	for i := 0; i < l.reqs.len() && !l.ident.key.control; i++ {
		if s := l.reqs.at(i).s; s != nil {
			s.endLater(telemetry.CloseUpstream)
		}
	}
	for _, s := range l.stalled {
		s.endLater(telemetry.CloseUpstream)
	}
	if l.owner != nil {
		l.owner.endLater(telemetry.CloseUpstream)
	}
	l.fail(errRefused)
}
