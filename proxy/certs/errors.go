package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

var (
	// ErrFile says that a file cannot be read or holds no PEM of the expected kind.
	ErrFile = errors.New("unusable file")

	// ErrPair says that a certificate and a key do not belong together.
	ErrPair = errors.New("certificate and key do not belong together")

	// ErrNotValid says that a certificate has expired or is not valid yet.
	ErrNotValid = errors.New("certificate is not valid now")
)

// Explain adds the most likely cause to the dialing side's handshake error. It returns other errors
// unchanged.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if hint := hint(err); hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

func hint(err error) string {
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &record):
		return "what answers there speaks no TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "what listens there may speak no TLS, and wait for the end of a line"
	case errors.As(err, &authority):
		return "name the authority that signed it in tls.ca"
	case errors.As(err, &name):
		return "name one of them in tls.server_name"
	case alertIs(err, "certificate required"):
		return "the server wants a client certificate: tls.cert and tls.key"
	case alertIs(err, "bad certificate"), alertIs(err, "unknown certificate authority"):
		return "the server does not accept the client certificate of tls.cert"
	}
	return ""
}

// alertIs recognizes an alert of the other side by its text: crypto/tls has no type for alerts.
func alertIs(err error, text string) bool {
	return strings.Contains(err.Error(), "remote error: tls: "+text)
}
