// Package tap is the journal's replica side: it attaches to a primary as a replica does and writes
// the stream, byte for byte, into the journal.
//
// It owns the replication connection, the second connection that takes a fresh base, and the
// verdict on a new history (continue, gap, new timeline, lost tail). It does not own the disk: the
// journal decides when bytes are durable, and the tap acknowledges no others to the primary.
//
// # Concurrency
//
// A [Tap] is run by one call of [Tap.Run]. Everything else may be called from any goroutine;
// [Tap.Confirmed] takes no lock and never blocks, so that event loops may ask it.
package tap
