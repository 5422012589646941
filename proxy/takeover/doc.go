// Package takeover passes the listening sockets of a running proxy, and then its journal, to the process that
// takes its place. It owns the conversation of the two processes and the sockets on their way; it knows no
// session and no journal but the lock of its folder.
//
// # The steps
//
// The old process has an [Offer], the new one a [Claim]. They talk over a unix socket, in packets:
//
//	new                                    old
//	checks its configuration
//	ask                              ->
//	                                 <-    upstream: the primary among candidates
//	reaches the server, compiles its rules
//	hello: version                   ->    checks user and version
//	                                 <-    sockets: their addresses and descriptors
//	binds the addresses that are new
//	go                               ->    stops accepting, drains
//	                                 <-    draining: for how long at most
//	                                       no command is in flight: closes the journal
//	                                 <-    released
//	opens the journal
//	serving                          ->    tells the service manager
//	                                 <-    yours
//	accepts                                ends
//
// The question comes in a conversation of its own, since reaching the server takes any time.
//
// A listening socket is passed as a descriptor and never closed in between, so connections that come meanwhile
// wait in its queue: none is refused. The rejected design binds a second socket to the same address
// (SO_REUSEPORT): the kernel resets the connections that wait at the first one when that is closed.
//
// The journal has one writer at any time: the old process closes it before it says "released". The new
// process continues the server's stream from the journal's end, as after a restart.
//
// # Failures
//
// Up to "go" nothing has changed: whatever fails, the old process serves on. From then on the old process keeps
// its descriptors until it has said "yours". If the new process ends, or is not serving in time, the old one
// starts to serve again with them; clients wait in the queue meanwhile. If the old process ends after "go", the new one
// waits for the lock of the journal, which the kernel releases with the process, and goes on.
//
// Each side says its verdict before it closes the connection. So an end of the connection without one means
// that the other process has died, and both sides never serve at once. Silence means nothing: a process that stood
// still may go on. The new one waits for the verdict on its "serving" without a limit, and an old one that serves again
// waits for the journal ([AwaitJournal]), which a late new one has open until it hears that it is too late.
//
// # Who may
//
// The socket's name is in the abstract namespace of Linux: it needs no folder, leaves nothing behind, and as a TCP
// address it is known in its own network namespace only. It is made of the configuration file's place and a random
// word, since any user could take a name that is known before, and keep upgrades away. The new process finds it in
// /proc/net/unix. Both sides require the other to run as the same user: the name of a socket is public, and the user is
// the check. A socket of another user with such a name is passed over.
//
// On other systems nothing can be taken over: [Claim.Find] and [Offer.Open] return [ErrUnsupported].
//
// # Concurrency
//
// Sockets guards itself. An Offer has one goroutine, from Open to Close; its methods may be called from any
// other. A Claim belongs to the goroutine that starts the server.
package takeover
