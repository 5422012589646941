package admin

import "errors"

var (
	// ErrAddress: Options.Address is neither "host:port" nor "unix:/path".
	ErrAddress = errors.New("admin: bad address")

	// ErrNoPassword: the console would be reachable from other machines without a password.
	ErrNoPassword = errors.New("admin: a password is required")

	// ErrListen: the address cannot be bound.
	ErrListen = errors.New("admin: cannot listen")

	// ErrNoJournal is a Backend's error if the proxy keeps no journal. Clients see the text.
	ErrNoJournal = errors.New("this proxy keeps no journal: the configuration has no journal.dir")
)
