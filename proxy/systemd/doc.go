// Package systemd talks with the service manager. It reports the state of the process, in the protocol of
// sd_notify(3): a datagram of assignments to the unix socket that NOTIFY_SOCKET names. And it takes the
// listening sockets that a socket unit passes, as sd_listen_fds(3) does. It owns the meaning of the
// environment's variables, and decides nothing: cmd/proxy says when the process is ready and whether it is
// alive, and package takeover which address a socket is for.
//
// Where the service manager is another one, or none, there is no socket. Every method of a nil
// Notifier does nothing, so that callers need not ask.
package systemd
