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

// handshake brings the connection into the state that its sessions expect: the steps, in order. Only
// its methods write them.
type handshake struct {
	ready   bool
	login   int // index of the login tried, or made, in the identity's logins
	prep    []prepStep
	prepAt  int64      // loop time when they were sent
	later   []prepStep // steps to follow prep before the link is ready
	backlog []byte     // requests that wait for ready
	probes  bool       // it was opened to see whether the server lets its user in
	ended   error      // why the link failed
	onReady []func(*link)
}

// first puts steps before those that follow the current ones.
func (h *handshake) first(steps ...prepStep) { h.later = append(steps, h.later...) }

// last puts steps behind all others.
func (h *handshake) last(steps ...prepStep) { h.later = append(h.later, steps...) }

// takeLater takes the steps that follow the current ones.
func (h *handshake) takeLater() []prepStep {
	steps := h.later
	h.later = nil
	return steps
}

// begin makes steps the current ones: the link is not ready until they are answered.
func (h *handshake) begin(steps []prepStep) { h.ready, h.prep = false, steps }

// preparing reports whether a reply is due to a step.
func (h *handshake) preparing() bool { return !h.ready && len(h.prep) > 0 }

// encode returns the current steps as requests that are sent now.
func (h *handshake) encode(now int64) (b []byte) {
	h.prepAt = now
	for _, st := range h.prep {
		if b = append(b, st.frame...); st.frame == nil {
			b = resp.AppendCommandStrings(b, st.args...)
		}
	}
	return b
}

// next takes the step to which a reply has come.
func (h *handshake) next() prepStep {
	st := h.prep[0]
	h.prep = h.prep[1:]
	return st
}

// void has the replies to the current steps no longer matter.
func (h *handshake) void() {
	for i := range h.prep {
		h.prep[i].void = true
	}
}

// hold keeps a request until the link is ready.
func (h *handshake) hold(frame []byte) { h.backlog = append(h.backlog, frame...) }

// end makes the link ready, and returns the requests that have waited for it.
func (h *handshake) end() (held []byte) {
	held = h.backlog
	h.ready, h.prep, h.backlog = true, nil, nil
	return held
}

// tellReady runs each function of whenReady once, even if one of them closes the link.
func (h *handshake) tellReady(l *link) {
	fs := h.onReady
	h.onReady = nil
	for _, f := range fs {
		f(l)
	}
}

// openSteps are the commands of a new connection. They are spelled in mixed case, which
// distinguishes the proxy's own commands from the clients' in a MONITOR stream (pubsub.go).
func (l *link) openSteps() []prepStep {
	var steps []prepStep
	if g := l.w.guard; g != nil && g.On(l.up) && l.w.guards(l) {
		steps = append(steps, l.becomeGuard(g))
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
func (s *setting) nameStep() prepStep {
	return prepStep{args: []string{"hElLo", strconv.Itoa(int(s.proto)), "SETNAME", s.name}}
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
	l.void() // the current steps fail for lack of the login
	l.first(l.openSteps()...)
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
	then := func(l *link, _ []byte) { l.first(login, l.helloStep()) }
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
	l.begin(steps)
	l.prepAt = l.w.loop.Now()
	l.w.beforeOwn(l.sendSteps)
}

// sendSteps sends the current steps.
func (l *link) sendSteps() {
	if l.closed {
		return
	}
	b := l.encode(l.w.loop.Now())
	l.injected += uint64(len(b))
	l.conn.Write(b)
}

func (l *link) becomeReady() {
	held := l.end()
	if l.w.outage.on && l.up == l.w.up {
		l.w.outage.over()
	}
	if len(held) > 0 {
		l.conn.WriteOwned(held)
	}
	l.tellReady(l)
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

// prepared handles the reply to the first outstanding step.
func (l *link) prepared(reply []byte) {
	if err := l.turnedAway(reply); err != nil {
		l.fail(err)
		return
	}
	st := l.next()
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
		l.first(st.instead(l)...)
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
		l.prepare(l.takeLater())
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
