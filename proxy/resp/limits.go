package resp

import "math"

// The server's own limits. A count that a client announces allocates nothing: the memory held for a
// command grows with the bytes that have arrived, see CommandScanner.Held.
const (
	defaultMaxArgs   = math.MaxInt32 // INT_MAX, since Redis 7.0
	defaultMaxBulk   = 512 << 20     // proto-max-bulk-len
	defaultMaxInline = 64 << 10      // PROTO_INLINE_MAX_SIZE

	unauthMaxArgs = 10
	unauthMaxBulk = 16384
)

// Limits are the server's own limits on a command. Zero fields mean the default, and so does a nil
// *Limits. MaxBulk must not exceed the server's proto-max-bulk-len: a frame that passes here but
// not there would break a link that other clients share.
type Limits struct {
	// MaxArgs is the maximum number of arguments of a command; 0 is 2,147,483,647. Above it the
	// command is refused with "Protocol error: invalid multibulk length".
	MaxArgs int
	// MaxBulk is the maximum size of an argument in bytes; 0 is 512 MiB. Above it the command is
	// refused with "Protocol error: invalid bulk length".
	MaxBulk int64
	// MaxInline is the maximum length in bytes of a line, of an inline command or of a count,
	// without its end; 0 is 64 KiB. The refusals are "too big inline request", "too big mbulk count
	// string" and "too big bulk count string".
	MaxInline int
	// Unauthenticated adds Redis's limits on a client that has yet to authenticate: 10 arguments
	// ("unauthenticated multibulk length") of 16,384 bytes ("unauthenticated bulk length").
	Unauthenticated bool
	// Dialect is the server's way of reading commands that are not plain RESP; 0: that of Redis.
	Dialect Dialect
}

func (l *Limits) maxArgs() int64 {
	if l == nil || l.MaxArgs == 0 {
		return defaultMaxArgs
	}
	return int64(l.MaxArgs)
}

func (l *Limits) maxBulk() int64 {
	if l == nil || l.MaxBulk == 0 {
		return defaultMaxBulk
	}
	return min(l.MaxBulk, math.MaxInt-2) // so that positions do not overflow
}

func (l *Limits) maxInline() int {
	if l == nil || l.MaxInline == 0 {
		return defaultMaxInline
	}
	return l.MaxInline
}

func (l *Limits) unauthenticated() bool { return l != nil && l.Unauthenticated }

func (l *Limits) dialect() Dialect {
	if l == nil {
		return 0
	}
	return l.Dialect
}
