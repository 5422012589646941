package certs

import "crypto/tls"

// ClientAuth is a server's demand for client certificates.
type ClientAuth string

const (
	// ClientAuthNone asks for no certificate. The zero value means the same.
	ClientAuthNone ClientAuth = "none"
	// ClientAuthRequest verifies a certificate where the client has one.
	ClientAuthRequest ClientAuth = "request"
	// ClientAuthRequire refuses clients without one.
	ClientAuthRequire ClientAuth = "require"
)

func (a ClientAuth) tls() tls.ClientAuthType {
	switch a {
	case ClientAuthRequest:
		return tls.VerifyClientCertIfGiven
	case ClientAuthRequire:
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

// ServerOptions name the files of a side that is connected to. All are PEM.
type ServerOptions struct {
	Cert, Key  string // the certificate with its chain, and its key
	ClientCA   string // the authorities of client certificates; needed with ClientAuth
	ClientAuth ClientAuth
}

// ClientOptions name the files of a side that connects. All are PEM, and each may be empty.
type ClientOptions struct {
	CA         string // the authorities that the server's certificate may be of; empty: the system's
	ServerName string // that the certificate must bear, and SNI; empty: the host that is dialled
	Cert, Key  string // the certificate to show, and its key
}
