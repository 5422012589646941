// Package upstream knows the server behind the proxy: whether it is there, what it is, how to
// reach it. It is the only package that uses go-redis.
//
// It owns a control connection over which it asks the server, once a second, who it is, and keeps
// the answer as an immutable [Info] that anyone may read without a lock. It dials raw data
// connections for the event loops but speaks no RESP on them, and it knows nothing of sessions,
// links or commands of clients.
//
// All of it runs beside the event loops: [Upstream.Info] and [Upstream.Recheck] never block and may
// be called from a loop; everything else blocks for network time and may not. An Upstream may be
// used from any number of goroutines.
package upstream
