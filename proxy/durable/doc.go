// Package durable holds the replies to writes on durable routes until the writes are proven: on the
// primary's disk, on replicas, or in the journal.
//
// A Pipeline belongs to one event loop. A write passes through it in four steps:
//
//	Hold      the write is sent: its route's demand, the link that carries it
//	Answer    the server's reply comes: the session's Gate queues it, and all later output
//	a fence   asks, at the end of the turn, for a proof of every reply that was read so far
//	release   the proof has come, or never will: the Gate delivers
//
// Before that, CanProve, Why and HopeUntil say whether the proof is available, by the Monitor, which is
// shared by all loops. Troubles and Needs say the same to operators, before a proxy serves and while it
// does.
//
// The package does no I/O: connections, time and the journal come through Env and Journal, and output
// goes to a Client. So its own tests need neither a loop nor a server.
//
// A Pipeline's methods may be called on its loop only, except JournalMoved. A Monitor may be used by any
// goroutine.
package durable
