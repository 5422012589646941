package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// UserFrom says which part of a client certificate is the name of the server's user for whom it
// stands. The zero value is none: certificates stand for no user.
type UserFrom string

const (
	UserFromCN  UserFrom = "cn"  // the common name of the subject
	UserFromURI UserFrom = "uri" // the URI among the alternative names, as it is spelled
)

// ErrNoName says that a certificate does not have exactly one name of the kind.
var ErrNoName = errors.New("certificate names no user")

// commonName is id-at-commonName (RFC 5280, appendix A).
var commonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// Name returns the name of the user for whom a verified certificate stands. It refuses a certificate
// with two names, since two readers could choose differently. The name may hold any bytes.
func (f UserFrom) Name(c *x509.Certificate) (string, error) {
	var names []string
	what := "common name"
	if f == UserFromURI {
		what = "URI"
		for _, uri := range c.URIs {
			names = append(names, uri.String())
		}
	} else {
		for _, part := range c.Subject.Names {
			if part.Type.Equal(commonName) {
				text, _ := part.Value.(string) // crypto/x509 accepts only text
				names = append(names, text)
			}
		}
	}
	switch {
	case len(names) > 1:
		return "", fmt.Errorf("%w: it has more than one %s: %q, %q", ErrNoName, what, names[0], names[1])
	case len(names) == 0 || names[0] == "":
		return "", fmt.Errorf("%w: it has no %s", ErrNoName, what)
	}
	return names[0], nil
}

// namesUser reports whether a server can take the certificate for the user, in either way.
func namesUser(c *x509.Certificate, user string) bool {
	for _, from := range []UserFrom{UserFromCN, UserFromURI} {
		if name, err := from.Name(c); err == nil && name == user {
			return true
		}
	}
	return false
}
