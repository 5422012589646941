// Package accept takes a client's connection from accept to its event loop: off the loops, it reads
// the header of the PROXY protocol and performs the TLS handshake.
//
// A [Listener] wraps a net.Listener; its Accept returns connections whose handshake is done. It
// bounds the number of handshakes, the time of each, and the number that compute at once. It knows
// no sessions.
//
// # Strangers
//
// A stranger can begin a handshake and never end it. Such connections cannot fill the room: when it
// is full, the handshake that has waited longest for its peer, and for at least half a second, is
// broken off for the newest connection. So clients get in while thousands hang, and a thousand that
// come at once only wait for each other. A handshake computes only while it holds one of a few
// turns, and gives the turn up while it waits for its peer, so that the loops keep their
// processors.
//
// # Concurrency
//
// One goroutine, the Acceptor's, may call Accept. Any goroutine may call Close and Count.
package accept
