package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// maxSecret bounds a password file.
const maxSecret = 4 << 10

// UserOptions name a user of the server for whom client certificates may stand. The proxy becomes the
// user by a password, or by a certificate that the server takes for the user.
type UserOptions struct {
	Name         string
	PasswordFile string
	Cert, Key    string // instead of PasswordFile
}

// Credential is a user's proof to the server: one of the two.
type Credential struct {
	Password    string
	Certificate *tls.Certificate // another pointer after the files have changed
}

// user is a UserOptions with the credential in force.
type user struct {
	*source
	opts UserOptions
}

// Users are the users for whom client certificates may stand. The list is immutable; the credentials
// follow their files. A nil Users is empty. It is safe for concurrent use.
type Users struct{ byName map[string]*user }

// Credential returns the credential of a user in force now; false: there is no such user.
func (u *Users) Credential(name string) (c Credential, ok bool) {
	if u == nil {
		return c, false
	}
	one := u.byName[name]
	if one == nil {
		return c, false
	}
	st := one.state.Load()
	c.Password = st.secret
	if st.leaf != nil {
		c.Certificate = &st.config.Certificates[0]
	}
	return c, true
}

// Has reports whether there is a user of that name.
func (u *Users) Has(name string) bool {
	_, ok := u.Credential(name)
	return ok
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
	f := files{secret: o.PasswordFile, cert: o.Cert, key: o.Key}
	if o.Cert != "" {
		f.bears = o.Name
	}
	src, err := newSource("user "+o.Name, f, plain, s.log)
	if err != nil {
		return err
	}
	src.usage = x509.ExtKeyUsageClientAuth
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
