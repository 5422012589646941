package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// A user's credential may be a certificate, for servers that read the user's name in it
// (tls-auth-clients-user). The user's links show it instead of the proxy's own, and send no AUTH. Such
// a server makes a connection the user default if the certificate names no user there, so each link
// asks for its user before it carries a command (ACL WHOAMI), and is closed if it is another.
//
// The question about a new session is a new link of that user, since only a handshake shows how the
// server takes the certificate now. A good one goes to the links at rest.
//
// A server that does not accept the certificate cuts the connection, as a server does that goes down.
// One user's certificate must not be an outage for all, so such a link is no failed attempt to reach
// the server; the next one of that user waits for certificatePause.

// certificatePause is the least time between a cut connection and the next with the same certificate.
const certificatePause = int64(250e6)

// showsUser reports whether the link shows a certificate that stands for its user.
func (l *link) showsUser() bool { return l.ident.credential().Certificate != nil }

// isItself reads the reply to ACL WHOAMI.
func (l *link) isItself(reply []byte) bool { return upstream.IsUser(reply, l.ident.userName()) }

// tryUser opens a link to see whether the server takes the identity's certificate for its user.
func (w *worker) tryUser(i *identity, done func(*link)) {
	l := i.openPin(2, 0, "")
	l.probes = true
	l.whenReady(done)
}

// shown takes the result of the question's link.
func (q *question) shown(l *link) {
	q.ended()
	switch {
	case l.ready:
		q.settle(func(s *session) { s.enter(certifiedKey(q.user)) })
		l.ident.rest(l)
	case errors.Is(l.ended, errRefused):
		q.refuseAll(fmt.Errorf("the server does not take the certificate of the user %q for that user: it is "+
			"missing or off there, or tls-auth-clients-user is not set", q.user), textCertificateLogin)
	default:
		q.w.door.failure = errorOf(cmp.Or(l.ended, errClosed), notExecuted)
		q.settle(func(s *session) { s.login = loginFailed })
	}
}

// doubted takes the result of a probe that doubt began.
func (i *identity) doubted(l *link) {
	i.doubting = false
	switch {
	case l.ready:
		i.rest(l)
	case !errors.Is(l.ended, errRefused):
		i.doubtLater()
	case !i.alive():
		i.end()
	}
}

// cutOff returns the cause of the end of a link that shows a certificate and was never ready: the
// certificate, as far as can be seen.
func (l *link) cutOff(cause error) error {
	switch cause.(type) {
	case errDown, errNotNow, errTurnedAway:
		return cause
	}
	if cause == errRefused || cause == errNotPrimary || !l.opening() || l.retiring || !l.showsUser() {
		return cause
	}
	l.ident.barred = l.w.loop.Now() + certificatePause
	l.w.again.Tell(l.w.log, slog.LevelWarn, "the server ended a connection that showed a user's certificate; "+
		"does it accept it?", causeOf(cause), "user", l.ident.userName())
	return errNotNow(resp.OwnError(textCertificateCut))
}

// isBarred fails a link whose certificate has just been cut off.
func (l *link) isBarred() bool {
	if l.w.loop.Now() >= l.ident.barred {
		return false
	}
	l.w.later(func() { l.fail(errNotNow(resp.OwnError(textCertificateCut))) })
	return true
}
