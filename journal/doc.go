// Package journal keeps a fsynced log of a primary's replication stream, and the snapshots that
// the stream continues, so that any moment of it can be rebuilt. It owns a folder of files: their
// names, their durability, their recovery after a crash, and their removal. README.md in this
// folder describes the files.
//
// It does not speak to servers: journal/tap brings the bytes and journal/replay takes them to a
// server. The bytes of a file are journal/segment's, the disk is journal/vfs's, and the meaning of
// the stream is journal/stream's.
//
// # Words
//
// Offsets are replication offsets as the server counts them: after FULLRESYNC … N the first byte
// of the stream occupies [N, N+1). All ranges are half-open. A timeline is one history: a
// replication id and the bytes that were received under it. A base is a snapshot at an exact
// offset of a timeline. A gap is a range that is missing. An incident is a range that the journal
// holds and the primary lost.
//
// # Concurrency
//
// A Journal may be used from any number of goroutines. Append never waits for the disk unless
// MaxPending bytes already do; Durable and Received are lock-free. One goroutine writes the
// segments, another watches the disk and removes what retention allows. A View is immutable. A
// Reader and a BaseWriter belong to one goroutine each.
package journal
