package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"

	"holdfast/proxy/certs"
	"holdfast/proxy/eventloop"
	"holdfast/proxy/telemetry"
)

// On a listener with UserFrom, a client certificate stands for a user of the server. The proxy logs
// the session in as that user before its first command, with the credential of the configuration, and
// so do the links of that user. A password is what makes this safe: a user whom the proxy could become
// without one would have to be nopass on the server, and then AUTH would let in everyone else. Where
// the server reads certificates itself, the credential may be a certificate (usercert.go).
//
//	handshake → name in the certificate → AUTH on the stranger's link → identity of the user
//
// If the name is missing, ambiguous or unknown, or the server refuses the login, the session ends
// with an error. It never becomes a session of the user default, as on servers that read
// certificates themselves (tls-auth-clients-user). From then on it is like one that has sent AUTH:
// AUTH and HELLO change its user by the server's rules, and RESET returns to the certificate's.

// certified is the user for whom the client's certificate stands; "": none. The error says why it
// stands for no user. A client without a certificate, where the listener allows that, is as on other
// listeners.
func (ln *listener) certified(nc net.Conn, users *certs.Users) (name string, err error) {
	secure, ok := nc.(*eventloop.Secure)
	if ln.userFrom == "" || !ok {
		return "", nil
	}
	chain := secure.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return "", nil
	}
	name, err = ln.userFrom.Name(chain[0])
	if err != nil {
		return "", err
	}
	if !users.Has(name) {
		return "", fmt.Errorf("%q is not in users", name)
	}
	return name, nil
}

// logIn asks whether the server accepts the user's login.
func (q *question) logIn() {
	cred, ok := q.w.vouched.Credential(q.user)
	switch {
	case !ok: // a reload has removed the user
		q.ended()
		q.refuseAll(fmt.Errorf("%q is not in users", q.user), textCertificateNoUser)
	case cred.Certificate != nil:
		q.w.tryUser(q.w.identity(certifiedKey(q.user)), q.shown)
	default:
		q.link = q.w.outside()
		q.link.askFor(q.loggedIn, "aUtH", q.user, cred.Password)
		q.link.resetBehind()
	}
}

// loggedIn takes the reply to the login.
func (q *question) loggedIn(reply []byte, broken bool) {
	q.ended()
	switch {
	case !broken && bytes.HasPrefix(reply, []byte("+OK")):
		q.settle(func(s *session) { s.enter(certifiedKey(q.user)) })
	case !broken && bytes.HasPrefix(reply, []byte("-WRONGPASS")):
		q.refuseAll(fmt.Errorf("the server refuses the login of the user %q: it is missing or off there, "+
			"or its password_file has another password", q.user), textCertificateLogin)
	default:
		q.w.door.failure = bytes.Clone(reply)
		q.settle(func(s *session) { s.login = loginFailed })
	}
}

func (q *question) refuseAll(why error, text string) {
	q.settle(func(s *session) { s.refuseCertificate(why, text) })
}

// certifiedKey is the identity of the sessions whose certificates stand for a user.
func certifiedKey(user string) identityKey {
	return identityKey{user: user, authed: true, certified: true}
}

// credential is the one by which the identity's links log in first.
func (i *identity) credential() certs.Credential {
	if !i.key.certified {
		return certs.Credential{Password: i.key.password}
	}
	if now, ok := i.w.vouched.Credential(i.key.user); ok {
		i.vouched = now
	}
	return i.vouched
}

// setVouched puts other users in force, and ends the sessions of those that are gone.
func (w *worker) setVouched(users *certs.Users) {
	w.vouched = users
	for _, s := range w.sessions {
		if s.certified == "" {
			continue
		}
		if !users.Has(s.certified) {
			w.again.Tell(w.log, slog.LevelWarn, "clients are disconnected: a reload removed the user for "+
				"whom their certificates stand", nil, "user", s.certified)
			s.endLater(telemetry.CloseCertificate)
		}
	}
}
