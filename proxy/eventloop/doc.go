// Package eventloop runs connections on loops: one Loop is one goroutine that owns its
// connections, its timers and its output buffers, so nothing on the data path has a lock.
//
// It owns descriptors, reading, output buffering and flushing, timers, and the mailbox through
// which other goroutines reach a loop. It knows nothing of RESP, sessions or upstreams: bytes go
// out through Handler and come in through Conn.Write.
//
// # A turn
//
// Each turn waits for events, then
//
//  1. refreshes Now, the only clock read of the turn;
//  2. reads each ready connection once and passes the bytes to its Handler, for at most a millisecond:
//     the others come first in the next turn;
//  3. runs the posted functions, then the timers that are due;
//  4. calls Options.BeforeFlush;
//  5. writes each connection with new output once: links first, so that the server works while
//     the replies of the turn are written to sessions.
//
// So fifty clients that each send a command cost fifty reads, one write to the upstream link, one
// read of its replies and fifty writes. Nothing on this path allocates.
//
// # Drivers
//
// On Linux a loop drives raw descriptors by level-triggered epoll. The portable driver gives every
// connection a reader and a writer goroutine, bridged into the loop by its mailbox. It serves other
// systems, and, inside an epoll loop, every connection that is more than a descriptor.
// Handlers see the same calls in the same order from both; Conn.OnDrain and Conn.Sent say where
// asynchronous writing shows.
//
// # TLS
//
// A Secure does its handshake on a goroutine of its own and then belongs to a loop. The loop reads
// and writes the ciphertext, and crypto/tls works on the loop's buffers, without a goroutine
// (secure.go). On the portable driver a Secure is bridged.
//
// # Concurrency
//
// Loop.Post, Loop.Stop and New may be called from any goroutine. Everything else, all methods of
// Conn and Timer included, belongs to the loop's goroutine: inside callbacks, posted functions and
// timers. Before Run is called, the goroutine that is going to call it counts as the loop's.
package eventloop
