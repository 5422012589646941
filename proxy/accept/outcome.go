package accept

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// Outcome is what became of a handshake.
type Outcome uint8

// The outcomes.
const (
	OK        Outcome = iota
	Plain             // the client speaks no TLS
	Client            // the client has no certificate, or none that is accepted
	Refused           // the client does not accept ours: another authority, another name, expired
	Versions          // no version or cipher in common
	Left              // it ended the connection: a port scan, a health check
	Slow              // not done in time
	Crowded           // it hung, and was broken off for a newer connection
	Untrusted         // the peer may not speak the PROXY protocol
	NoHeader          // it does not speak it
	Broken            // anything else

	NumOutcomes = int(iota)
)

var names = [NumOutcomes]string{"ok", "plain", "client_certificate", "refused_by_client",
	"no_common_version", "left", "timeout", "crowded",
	"untrusted", "no_proxy_header", "broken"}

// String is the outcome's name in metrics.
func (o Outcome) String() string { return names[o] }

// explanations are the log's texts, each from the proxy's point of view.
var explanations = [NumOutcomes]string{
	Plain: "a client that speaks no TLS connected to a TLS listener",
	Client: "a client has no certificate, or one that no authority of client_ca signed or that is " +
		"not valid now",
	Refused: "a client does not accept the listener's certificate: it knows another authority, or " +
		"expects another name, or the certificate has expired",
	Versions: "a client has no TLS version or cipher in common with the listener (1.2 and 1.3 are served)",
	Left:     "a client left during its TLS handshake",
	Slow:     "a client did not end its TLS handshake in time",
	Crowded:  "too many TLS handshakes at a time: one that hung was broken off for a newer connection",
	Untrusted: "a connection to a listener with the PROXY protocol came from an address that " +
		"proxy_protocol_from does not name",
	NoHeader: "a connection to a listener with the PROXY protocol does not begin with its header",
	Broken:   "a TLS handshake failed",
}

// Explain is a sentence for the log.
func (o Outcome) Explain() string { return explanations[o] }

// judge classifies a handshake's error, partly by text: crypto/tls has types for few of its errors.
func judge(err error) Outcome {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	has := func(text string) bool { return strings.Contains(err.Error(), text) }
	switch {
	case err == nil:
		return OK
	case errors.Is(err, errUntrusted):
		return Untrusted
	case errors.Is(err, ErrHeader):
		return NoHeader
	case errors.As(err, &record) && record.Conn != nil:
		return Plain
	case errors.As(err, &verify), has("client didn't provide a certificate"):
		return Client
	case has("remote error: tls: bad certificate"), has("remote error: tls: unknown certificate"),
		has("remote error: tls: expired certificate"), has("remote error: tls: revoked certificate"),
		has("remote error: tls: unsupported certificate"):
		return Refused
	case has("unsupported versions"), has("no cipher suite supported"), has("protocol version"):
		return Versions
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Left
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Slow
	case errors.Is(err, net.ErrClosed):
		return Crowded
	}
	return Broken
}
