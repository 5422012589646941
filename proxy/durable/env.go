package durable

import (
	"time"

	"holdfast/proxy/telemetry"
	"holdfast/proxy/upstream"
)

// Env is a Pipeline's view of its event loop and of the server. All methods are called on the loop,
// except Post.
type Env interface {
	// Now is the loop's time in nanoseconds.
	Now() int64
	// After has f called on the loop in d.
	After(d time.Duration, f func()) Timer
	// Post has f called on the loop soon. Any goroutine may call it.
	Post(f func())

	// Info is the control connection's latest observation of the server, and Recheck asks for another.
	Info() *upstream.Info
	Recheck()
	// Dial opens a connection of the control user in database db. The replies to its commands go to h.
	Dial(db int32, h Handler) Link
	// Retire sends the links for which elsewhere is true on their way out. It asks about each link that
	// carries clients' commands.
	Retire(elsewhere func(*Origin) bool)

	// Disbelieves reports that a replica of the server may have been promoted: proofs of the
	// server's own side prove nothing now. Believe is called at the end.
	Disbelieves() bool
	// Moved is called when a write that waits for an available proof should be looked at again.
	Moved()
	// RecordSpan takes the finished span of a write.
	RecordSpan(telemetry.SpanRecord)
}

// Timer is a timer of the loop, as eventloop.Timer.
type Timer interface{ Reset(d time.Duration) }

// Link is a connection for fences.
type Link interface {
	// Send appends one command, even before the connection is established. It keeps no part of frame.
	Send(frame []byte)
	// Fail closes the connection. It calls Broken if the connection was open.
	Fail(cause error)
	// Origin is the same value during the Link's life.
	Origin() *Origin
}

// Handler receives the replies of a Link.
type Handler interface {
	// Reply is called for each command, in their order. reply is valid during the call only.
	Reply(reply []byte)
	// Broken is called once the connection has ended. No Reply follows.
	Broken()
}

// Origin identifies the server process at a link's other end, as far as is known (lineage.go).
type Origin struct {
	RunID  string // known when the link was dialled
	DialNo uint64 // of the dial, counted by the loop
	ConnNo uint64 // dials begun until the link was connected; 0: it is not yet
}

// Journal is a proof's view of the journal. Its methods take no lock for long.
type Journal interface {
	// Confirmed returns the proven position: the journal holds, fsynced and with a base that leads to it,
	// all of the history replID below offset. "" proves nothing.
	Confirmed() (replID string, offset int64)
	// Hurry asks for the proof of a write that was just sent.
	Hurry()
	// FACKs reports whether the journal's fsyncs count in the server's own WAITAOF.
	FACKs() bool
}

// Client is a Gate's view of its session.
type Client interface {
	// Write gives bytes to the client. It keeps no part of p. It returns false once the session has
	// ended, which closes the Gate.
	Write(p []byte) (open bool)
	// CutOff ends the session, which closes the Gate: earlier output has been written, and nothing follows.
	CutOff()
	// Wake is called after a release. Open is false if the Gate has nothing left and was closed.
	Wake(open bool)
}
