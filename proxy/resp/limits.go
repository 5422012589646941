package resp

import "math"

// The server's own limits, but for the arguments: Redis took 1,048,576 until 6.2 and takes INT_MAX
// since. The proxy keeps the lower bound on what one command can make it hold, which is up to 32
// bytes per argument beside the command's own.
const (
	defaultMaxArgs   = 1024 * 1024
	defaultMaxBulk   = 512 << 20 // proto-max-bulk-len
	defaultMaxInline = 64 << 10  // PROTO_INLINE_MAX_SIZE

	unauthMaxArgs = 10
	unauthMaxBulk = 16384
)

// Limits are the server's own limits on a command. Zero fields mean the default, and so does a
// nil *Limits. MaxBulk must not exceed the server's proto-max-bulk-len: a frame that passes here
// and not there would break a link that others share.
type Limits struct {
	// MaxArgs is the most arguments of a command; 0 is 1,048,576. Above it the command is refused
	// with "Protocol error: invalid multibulk length".
	MaxArgs int
	// MaxBulk is the most bytes of an argument; 0 is 512 MiB. Above it the command is refused
	// with "Protocol error: invalid bulk length".
	MaxBulk int64
	// MaxInline is the most bytes of a line, of an inline command or of a count, without its end;
	// 0 is 64 KiB. The refusals are "too big inline request", "too big mbulk count string" and
	// "too big bulk count string".
	MaxInline int
	// Unauthenticated adds Redis's limits on a client that has yet to authenticate: 10 arguments
	// ("unauthenticated multibulk length") of 16,384 bytes ("unauthenticated bulk length").
	Unauthenticated bool
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
