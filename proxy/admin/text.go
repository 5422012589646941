package admin

import (
	"errors"
	"fmt"
	"strings"
)

// Every error that a client of the console can see, except those of framing and backend. Where
// Redis has an error text for a case, it is Redis's.

// replyError is an error whose text is the whole reply, with its code.
type replyError string

func (e replyError) Error() string { return string(e) }

const (
	errNoAuth    replyError = "NOAUTH Authentication required."
	errWrongPass replyError = "WRONGPASS invalid username-password pair or user is disabled."
	errNoPass    replyError = "ERR AUTH <password> called without any password configured for " +
		"the default user. Are you sure your configuration is correct?"
	errHelloAuth replyError = "NOAUTH HELLO must be called with the client already authenticated, " +
		"otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the " +
		"client and select the RESP protocol version at the same time"
	errNoProto         replyError = "NOPROTO unsupported protocol version"
	errBadProto        replyError = "ERR Protocol version is not an integer or out of range"
	errSyntax          replyError = "ERR syntax error"
	errDB              replyError = "ERR the console has only database 0"
	errSessionID       replyError = "ERR a session id is a positive number: see SHOW SESSIONS"
	errTrashID         replyError = "ERR the id of an entry is a positive number: see SHOW TRASH"
	errLimit           replyError = "ERR LIMIT wants a number; 0 means all"
	errTooManyAttempts replyError = "ERR too many wrong passwords from this address; try again in a few " +
		"seconds"
	errMaxClients   replyError = "ERR max number of clients reached"
	errInternal     replyError = "ERR internal error; the log of the proxy says more"
	errTooLarge     replyError = "ERR Protocol error: request larger than 131072 bytes"
	errNotInTime    replyError = "ERR the proxy did not answer in time"
	errShuttingDown replyError = "ERR the console is shutting down"
)

func errUnknown(words []string) error {
	return replyError(fmt.Sprintf("ERR unknown command '%s'. Try HELP (in redis-cli: SHOW HELP)",
		Clean(truncate(strings.Join(words, " "), 64))))
}

func errArgs(c *command) error {
	return replyError(strings.TrimSpace("ERR wrong arguments. Usage: " + c.usage()))
}

func errSyntaxOf(c *command) error {
	return replyError(fmt.Sprintf("%s. Usage: %s", string(errSyntax), c.usage()))
}

func errNoSession(id uint64) error {
	return replyError(fmt.Sprintf("ERR no session %d", id))
}

func errNoPending(token string) error {
	return replyError(fmt.Sprintf("ERR nothing waits under the token '%s': see SHOW PENDING",
		Clean(truncate(token, 64))))
}

// errorText returns the reply for an error: a replyError unchanged, any other with the code ERR.
func errorText(err error) string {
	var r replyError
	if errors.As(err, &r) {
		return string(r)
	}
	// A bad configuration has several errors, each on a line of its own.
	return "ERR " + strings.ReplaceAll(err.Error(), "\n", "; ")
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
