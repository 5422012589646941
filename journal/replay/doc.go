// Package replay is the journal's primary side: it finds a point in the journal, serves the base
// and the stream up to there to any server as a primary does, and restores a server that way.
//
// The server itself does the loading, exactly: a replica neither expires nor evicts on its own, so
// its state at an offset is the original's. Sending the stream as commands to a primary would not
// do: keys would expire on the way.
//
// It reads a [journal.View] and never writes to the journal, so it works in parallel with the
// process that owns the journal, or on a copy of its folder elsewhere. It does not know where
// commands end: journal/stream does.
//
// # Concurrency
//
// [Locate], [NewPlan], [Export] and [Which] run on the caller's goroutine. A [Primary] serves each
// connection with goroutines of its own, all of which have ended when Serve returns. A Plan is not
// changed after it was made and may be shared.
package replay
