// Package resp finds the frames of the Redis protocol in a stream of bytes, and writes frames.
//
// It owns the grammar: commands as clients send them (multibulk and inline), replies as servers
// send them (RESP2 and RESP3), the server's limits on both and the words in which the server
// refuses. It owns no connection, no buffer and no meaning: which command it is, who may send it
// and where it goes are the caller's business.
//
// # Commands
//
// [CommandScanner] reads what Redis 8.0.2 reads, in the same order of checks (processInputBuffer,
// processInlineBuffer and processMultibulkBuffer of its networking.c; Redis 7.0 and Valkey 7.2
// and 8.0 have the same grammar). This is a matter of safety: the forwarded bytes travel on a link
// that other clients share, so a frame that we and the server read differently is a way to smuggle
// a command past the rules, or into another client's session. Where the server is lax, that is
// the byte after the carriage return of a count line, and the two bytes after a bulk, which it
// skips unseen, the scanner reads the same frame but asks for it to be written anew (see
// [Command].Inline). What is forwarded as received is therefore always strict RESP.
//
// Where the server's answer depends on how its reads happened to be cut, the answer here is that
// of a server that reads one byte at a time: a line is too big when its end is not among its
// first 64 KiB + 1 bytes, whatever else has arrived. A result never depends on how the bytes
// were split.
//
// Servers differ in two things, both without consequence for what is forwarded. Up to Valkey 8.0
// and Redis 8.0 a NUL in a count line hides what follows it until the line is too big; Valkey 8.1
// refuses the count at once. And after a line of nothing but blanks Valkey 8 reads on in inline
// mode although a multibulk command follows. The scanner does as Redis 8.0.2 in both.
//
// # Replies
//
// [ReplyScanner] measures replies and keeps only counters: nested aggregates need no stack,
// because all that matters is how many elements are still to come. A reply of any size streams
// through. It judges framing and not content: what stands on a line is the client's to read.
//
// # Concurrency and memory
//
// Everything here is pure: no I/O, no goroutine, no lock. A scanner belongs to one connection and
// a [Scratch] to one event loop. In the steady state nothing is allocated per frame.
package resp
