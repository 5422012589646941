package proxy

import (
	"bytes"
	"crypto/rand"
	"slices"
	"time"

	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// anyPassword is the password by which links of a user without one log in: it is wrong for any user
// who has one.
var anyPassword = rand.Text()

// logIn gives the session the identity of the credential that the server has just accepted, and
// runs next.
//
// A client may invent passwords for a user that has none (nopass), and each would be an identity
// with its own links. So when the server accepts a second password of a user, the proxy asks
// whether the user has any. If not, the password proves nothing, and the identity uses anyPassword
// instead: its links can log in for as long as the user has no password.
func (s *session) logIn(cred credential, next func()) {
	w := s.w
	if _, known := w.identities[cred.key()]; known || w.users[cred.user] == 0 {
		s.becomes(cred)
		next()
		return
	}
	ask := [][]byte{[]byte("aCl"), []byte("gEtUsEr"), []byte(cred.user)}
	s.ask(w.privileged(), nil, ask, func(reply []byte, broken bool) {
		if !broken && hasNoPassword(reply) {
			cred.password = anyPassword
		}
		s.becomes(cred)
		next()
	})
}

// becomes gives the session the identity of an accepted login.
func (s *session) becomes(cred credential) {
	s.enter(cred.key())
	if s.ident.key == defaultKey {
		s.ident.secret = cred.password
	}
}

// enter gives the session an identity that the server has accepted.
func (s *session) enter(key identityKey) {
	s.w.changeIdentity(s, key)
	s.login = loginIn
	if key != defaultKey {
		s.ident.watch(s.lane(laneData))
	}
}

// watch opens a link in the lane if the identity has none: its end shows that the user was deleted.
func (i *identity) watch(ln *lane) {
	if len(ln.links) == 0 && !i.alive() {
		ln.pick(i.w)
	}
}

// hasNoPassword reads the reply to ACL GETUSER.
func hasNoPassword(reply []byte) bool {
	v, _, err := resp.Parse(reply)
	if err != nil {
		return false
	}
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) != "flags" {
			continue
		}
		for _, flag := range v.Elems[i+1].Elems {
			if string(flag.Str) == "nopass" {
				return true
			}
		}
	}
	return false
}

// doubtAgain is the pause before a question that nothing has answered, or that no link could be dialled to answer.
const doubtAgain = 500 * time.Millisecond

// doubtLater has doubt ask after a pause. While no link of the identity can be dialled, none of them shows that the
// user is deleted.
func (i *identity) doubtLater() {
	if !i.isDeletable() || i.doubting {
		return
	}
	i.doubting = true
	i.w.loop.AfterFunc(doubtAgain, func() {
		i.doubting = false
		i.doubt()
	})
}

// doubt is called when the server has closed a link of the identity or refused its login, as it
// does when the user is deleted. It asks the server whether it still accepts the credential. If
// not, and the server has closed all the identity's links, its sessions end, as their own
// connections would have. A mere change of the password leaves the links open, and so the sessions.
func (i *identity) doubt() {
	if !i.isDeletable() || i.doubting {
		return
	}
	i.doubting = true
	if i.credential().Certificate != nil {
		i.w.tryUser(i, i.doubted)
		return
	}
	l := i.w.outside()
	l.askFor(func(reply []byte, broken bool) {
		i.doubting = false
		switch {
		case broken: // or killed as one of the user's
			i.doubtLater()
		case bytes.HasPrefix(reply, []byte("+OK")) && i.refs > 0:
			i.watch(i.lane(laneKey{kind: laneData, proto: 2}))
		case bytes.HasPrefix(reply, []byte("-WRONGPASS")) && !i.alive():
			i.end()
		}
	}, "aUtH", i.key.user, i.credential().Password)
	l.resetBehind()
}

// isDeletable reports whether the identity has sessions that end when the server's user is deleted.
func (i *identity) isDeletable() bool {
	return i.refs > 0 && i.key.authed && i.key != defaultKey && !i.key.control
}

// alive reports whether a link is open that logged in by the identity's own password.
func (i *identity) alive() bool {
	for l := range i.w.links {
		if l.ident == i && l.ready && l.login == 0 {
			return true
		}
	}
	return false
}

// otherPasswordsMost bounds the logins that a link tries.
const otherPasswordsMost = 4

// otherPasswords are those by which other clients have logged in as the same user. A server keeps
// the connections that an old password opened, so the sessions of such an identity go on: its links
// log in by a newer password, as long as one link is open that the old one opened. That link is the
// witness that the user was not deleted and recreated for another person since: the server would
// have closed it. When it is closed, doubt ends the sessions.
func (i *identity) otherPasswords() (list []string) {
	if i.key.control || i.key.certified || i.w.users[i.key.user] < 2 || !i.alive() {
		return nil
	}
	for key := range i.w.identities {
		if key.user == i.key.user && key.authed && !key.control && !key.certified &&
			key.password != i.key.password && key.password != anyPassword {
			list = append(list, key.password)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), otherPasswordsMost)]
}

// isWitness reports whether no other link can take l's place in otherPasswords.
func (l *link) isWitness() bool {
	i := l.ident
	if l.login != 0 || !l.ready || i.refs == 0 || i.key == defaultKey || i.key.certified ||
		i.w.users[i.key.user] < 2 {
		return false
	}
	for other := range i.w.links {
		if other != l && other.ident == i && other.ready && other.login == 0 {
			return false
		}
	}
	return true
}

// end ends the sessions of an identity whose user the server has deleted.
func (i *identity) end() {
	n := 0
	for _, s := range i.w.sessions {
		if s.ident == i {
			s.endLater(telemetry.CloseUpstream)
			n++
		}
	}
	i.w.log.Warn("the server closed a user's links and takes the login no more; its clients are "+
		"disconnected", "user", i.userName(), "clients", n)
}
