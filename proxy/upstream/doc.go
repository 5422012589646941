// Package upstream watches and dials the server behind the proxy. It reports whether the server is
// up, its version, role and settings. It is the only package that uses go-redis.
//
// It owns a control connection over which it asks the server, once a second, for its identity and
// state. It keeps the answer as an immutable [Info] that any goroutine may read without a lock. It
// dials raw data connections for the event loops but speaks no RESP on them, and does not know
// sessions, links or client commands.
//
// It runs outside the event loops. [Upstream.Info] and [Upstream.Recheck] never block, so a loop
// may call them; everything else blocks on the network and is not for loops. An Upstream is safe
// for concurrent use.
package upstream
