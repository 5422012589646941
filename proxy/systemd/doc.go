// Package systemd reports the state of the process to the service manager, in the protocol of
// sd_notify(3): a datagram of assignments to the unix socket that NOTIFY_SOCKET names. It owns that
// socket and the meaning of the environment's variables, and decides nothing: cmd/proxy says when the
// process is ready and whether it is alive.
//
// Where the service manager is another one, or none, there is no socket. Every method of a nil
// Notifier does nothing, so that callers need not ask.
package systemd
