// Package tap is the journal's replica side: it attaches to a primary as a replica does and writes
// what it is given, byte for byte, into the journal.
//
// It owns the replication connection, the second connection that takes a fresh base, and the
// decision what a new history means for what the journal holds (continue, gap, new timeline, lost
// tail). It does not own the disk: whether bytes are durable is the journal's word, and the tap
// acknowledges to the primary only what the journal has called durable.
//
// # Concurrency
//
// A [Tap] is run by one call of [Tap.Run]. Everything else may be called from any goroutine;
// [Tap.Confirmed] takes no lock and never blocks, so that event loops may ask it.
package tap
