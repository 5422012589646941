// Package proxy is Holdfast's data path: it accepts client connections, asks policy about every
// command, forwards what is allowed to one Redis or Valkey server, and gives each client its own
// replies in its own order.
//
// # Shape
//
// A Server owns the listeners and the workers. A worker is one event loop with everything that
// the loop alone may touch: its sessions (client connections), its links (upstream connections),
// its counters. Nothing of a worker is locked; what other goroutines want of it, they Post.
//
//	clients ── session ─┐                        ┌─ link (shared)  ── server
//	clients ── session ─┼─ worker: policy, order ─┼─ link (scripts) ──
//	clients ── session ─┘                        └─ link (pinned)  ──
//
// # Links
//
// Most commands do not depend on the connection that they come by, so the sessions of one user,
// protocol version and database share a link, and one write carries the commands of many clients.
// A lane is a set of such links. There are three lanes per key:
//
//   - data: ordinary commands.
//   - script: scripts, functions and module commands. While one of them runs long, the server
//     answers BUSY to other connections but does not read its own; ordinary commands
//     must therefore not queue behind it.
//   - lobby: commands that set connection state (SELECT, HELLO, AUTH, CLIENT …). The server
//     checks and answers them there in its own words; the state itself is kept in the session.
//     Nothing that depends on state is ever sent by a lobby.
//
// Everything else borrows a pinned link: for a transaction, for one blocking command, or for the
// rest of the session.
//
// # Durable acknowledgements
//
// On a route that asks for it, a write's reply is held in its session's gate (gate.go) until fences
// (fence.go) have proven the write: by the journal's position, by WAIT or by WAITAOF. The links know
// nothing of this: later commands go on being executed, and their replies wait their turn.
//
// # Invariants
//
//  1. A session has commands outstanding on one link at a time. A command that needs another link
//     waits until the replies of the first have all come.
//  2. Links belong to one identity (user and credential as the client proved them); sessions of
//     different identities never share one.
//  3. Each command is answered once. When a link breaks, every outstanding command is answered
//     with -UPSTREAM, which says whether it may have been executed; nothing is sent twice.
//  4. A link with an unanswered request is never given to another session, and a pinned link
//     whose connection state is not known to be clean is closed, not returned.
//  5. A reply of which the client has already seen a part is never completed by anything but the
//     rest of that reply: if the rest cannot be had, the client is disconnected.
//  6. A reply on a durable route, and what follows it, is with the client only once the write is
//     proven by the process that executed it; else an error or the end of the connection takes its
//     place.
package proxy
