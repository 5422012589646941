package upstream

import "errors"

var (
	// ErrUnknown is Info.Err before the first check.
	ErrUnknown = errors.New("upstream not checked yet")

	// ErrUnsupported is wrapped by Info.Supported for a server that is too old.
	ErrUnsupported = errors.New("server not supported")

	// ErrRefused is wrapped by Info.Err of a server that closes new connections with an error of
	// its own: protected mode, or maxclients reached.
	ErrRefused = errors.New("server refuses connections")

	// ErrHandshake is wrapped by the errors of Dial for a server that was reached, and then no TLS was
	// agreed with it.
	ErrHandshake = errors.New("TLS handshake")

	// ErrLogin is wrapped by Info.Err of a server that is up and rejects the control user's login.
	ErrLogin = errors.New("control user cannot log in")
)

// loginHint says where the control user's login stands.
const loginHint = "its login is upstream.username and upstream.password, or password_file"
