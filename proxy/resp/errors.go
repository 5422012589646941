package resp

import "errors"

// ProtocolError is a request that the server refuses to read. The session answers "-ERR ", Text
// and CRLF, and then closes the connection, as Redis does.
type ProtocolError struct {
	Text string // e.g. "Protocol error: expected '$', got 'x'"
}

// Error returns the text exactly as Redis words it, without "-ERR " and without CRLF.
func (e *ProtocolError) Error() string { return e.Text }

// The refusals, worded as in networking.c of Redis 8.0.2 (errCRLF: Valkey 9.1.2). They are values,
// not functions, so that a flood of bad clients costs no allocation. Only errExpectedBulk varies.
var (
	errMultibulkLength = &ProtocolError{"Protocol error: invalid multibulk length"}
	errBulkLength      = &ProtocolError{"Protocol error: invalid bulk length"}
	errUnauthMultibulk = &ProtocolError{"Protocol error: unauthenticated multibulk length"}
	errUnauthBulk      = &ProtocolError{"Protocol error: unauthenticated bulk length"}
	errBigInline       = &ProtocolError{"Protocol error: too big inline request"}
	errBigMultibulk    = &ProtocolError{"Protocol error: too big mbulk count string"}
	errBigBulk         = &ProtocolError{"Protocol error: too big bulk count string"}
	errCRLF            = &ProtocolError{"Protocol error: invalid CRLF in request"}
	errQuotes          = &ProtocolError{"Protocol error: unbalanced quotes in request"}
)

// errExpectedBulk is the refusal of an argument that begins with c. Redis trims CR and LF from
// the ends of an error and turns those within it into spaces; c stands within.
func errExpectedBulk(c byte) *ProtocolError {
	if c == '\r' || c == '\n' {
		c = ' '
	}
	text := append([]byte("Protocol error: expected '$', got '"), c, '\'')
	return &ProtocolError{string(text)}
}

var (
	// ErrMalformed is wrapped by the errors of [ReplyScanner.Scan] and [Parse]: the bytes are not
	// RESP. The position in the stream is lost, so you must close the connection.
	ErrMalformed = errors.New("resp: malformed reply")

	// ErrIncomplete is wrapped by the error of [Parse] when the bytes end within the reply.
	ErrIncomplete = errors.New("resp: incomplete reply")

	// ErrTooComplex is wrapped by the error of [Parse] when a reply is nested deeper or has more
	// elements than the proxy's own reading ever needs.
	ErrTooComplex = errors.New("resp: reply too deep or too large to parse")
)
