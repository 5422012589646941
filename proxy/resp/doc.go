// Package resp finds the frames of the Redis protocol in a stream of bytes, and writes frames.
//
// It owns the grammar: commands as clients send them (multibulk and inline), replies as servers
// send them (RESP2 and RESP3), the server's limits on both, and the texts of its refusals. It owns
// no connection and no buffer, and it interprets nothing: the caller decides which command a frame
// is, who may send it and where it goes.
//
// # Commands
//
// [CommandScanner] reads what Redis 8.0.2 reads, in the same order of checks (processInputBuffer,
// processInlineBuffer and processMultibulkBuffer of its networking.c; Redis 7.0 and Valkey 7.2 and
// 8.0 have the same grammar). Safety depends on it: clients share the link that carries the
// forwarded bytes, so a frame that proxy and server read differently would smuggle a command past
// the rules, or into another client's session. The server skips unread the byte after the carriage
// return of a count line, and the two bytes after a bulk. There the scanner reads the same frame
// but asks the caller to re-encode it (see [Command].Inline), so every frame forwarded as received
// is strict RESP.
//
// Where the server's answer depends on how the bytes were split into reads, the scanner answers as
// a server that reads one byte at a time: a line is too big when its end is not among its first 64
// KiB + 1 bytes, whatever else has arrived. So a result never depends on the split.
//
// Servers differ in two further ways, neither of which affects the forwarded bytes. Up to Valkey
// 8.0 and Redis 8.0 a NUL in a count line hides the rest of the line until the line is too big;
// Valkey 8.1 refuses the count at once. After a line of blanks Valkey 8 stays in inline mode
// although a multibulk command follows. The scanner follows Redis 8.0.2 in both.
//
// # Replies
//
// [ReplyScanner] measures replies and keeps only counters: nested aggregates need no stack, because
// the number of outstanding elements suffices. A reply of any size streams through. It checks
// framing, not content: a line's text is the client's to read.
//
// # Concurrency and memory
//
// The package does no I/O, starts no goroutine and takes no lock. A scanner belongs to one
// connection, a [Scratch] to one event loop. In the steady state a frame costs no allocation.
package resp
