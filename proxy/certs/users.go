package certs

import (
	"bytes"
	"crypto/tls"
	"fmt"
)

// maxSecret bounds a password file.
const maxSecret = 4 << 10

// UserOptions name a user of the server for whom client certificates may stand.
type UserOptions struct {
	Name         string
	PasswordFile string // the file of the password by which the proxy logs in as the user
}

// user is a UserOptions with the password in force.
type user struct {
	*source
	opts UserOptions
}

// Users are the users for whom client certificates may stand. The list is immutable; the passwords
// follow their files. A nil Users is empty. It is safe for concurrent use.
type Users struct{ byName map[string]*user }

// Password returns the password of a user in force now; false: there is no such user.
func (u *Users) Password(name string) (string, bool) {
	if u == nil {
		return "", false
	}
	one := u.byName[name]
	if one == nil {
		return "", false
	}
	return one.state.Load().secret, true
}

// User adds a user. Like Server, it takes over one with the same options from the previous Set.
func (s *Set) User(o UserOptions) error {
	for _, old := range s.knownUsers {
		if old.opts == o {
			s.users = append(s.users, old)
			return old.look(true)
		}
	}
	plain := func(*state) *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	src, err := newSource("user "+o.Name, files{secret: o.PasswordFile}, plain, s.log)
	if err != nil {
		return err
	}
	s.users = append(s.users, &user{src, o})
	return nil
}

// Users returns all users that were added.
func (s *Set) Users() *Users {
	u := &Users{byName: make(map[string]*user, len(s.users))}
	for _, one := range s.users {
		u.byName[one.opts.Name] = one
	}
	return u
}

// parseSecret is the text of a password file without the newline that editors put at its end.
func parseSecret(path string, text []byte) (string, error) {
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return "", fmt.Errorf("%w: %s is empty", ErrFile, path)
	}
	if len(text) > maxSecret {
		return "", fmt.Errorf("%w: %s is larger than %d bytes", ErrFile, path, maxSecret)
	}
	return string(text), nil
}
