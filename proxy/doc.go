// Package proxy is Holdfast's data path: it accepts client connections, asks policy about every
// command, forwards allowed commands to one Redis or Valkey server, and gives each client its own
// replies in its own order.
//
// # Shape
//
// A Server owns the listeners and the workers. A worker is one event loop with the state that only
// the loop may touch: its sessions (client connections), its links (upstream connections), its
// counters. A worker has no locks; other goroutines Post their work to it.
//
//	clients ── session ─┐                        ┌─ link (shared)  ── server
//	clients ── session ─┼─ worker: policy, order ─┼─ link (scripts) ──
//	clients ── session ─┘                        └─ link (pinned)  ──
//
// # Links
//
// Most commands do not depend on their connection, so the sessions of one user, protocol version
// and database share a link, and one write carries the commands of many clients. A lane is a set of
// such links. There are four lanes per key, mostly:
//
//   - data: ordinary commands.
//   - bulk: commands of sessions with heavy replies, which so delay only each other (window.go).
//   - script: scripts, functions and module commands. While one of them runs long, the server
//     answers BUSY to other connections but does not read its own; ordinary commands
//     must therefore not queue behind it.
//   - lobby: commands that set connection state (SELECT, HELLO, AUTH, CLIENT …). The server
//     checks and answers them there in its own words; the state itself is kept in the session.
//     Nothing that depends on state is ever sent by a lobby.
//
// While CLIENT PAUSE holds writes, they and scripts have lanes of their own. A link that is stuck
// while the server works is parked (stall.go). A command is sent once its link is ready; until then
// it waits in its session's input, also while the server is unreachable (outage.go).
//
// Everything else borrows a pinned link: for a transaction, for one blocking command, or for the
// rest of the session.
//
// # Durable acknowledgements
//
// On a route that asks for it, a write's reply is held in its session's gate until fences have proven
// the write: by the journal's position, by WAIT or by WAITAOF. Package durable does both. The links are
// not involved: later commands are still executed, and their replies wait their turn.
//
// # Invariants
//
//  1. A session has commands outstanding on one link at a time. A command that needs another link
//     waits until the replies of the first have all come.
//  2. Links belong to one identity (user and credential as the client proved them); sessions of
//     different identities never share one.
//  3. Each command is answered once. When a link breaks, every outstanding command is answered
//     with -UPSTREAM, which says whether it may have been executed. Nothing is sent twice but reads
//     that stand behind a command that is stuck (stall_move.go).
//  4. A link with an unanswered request is never given to another session, and a pinned link
//     whose connection state is not known to be clean is closed, not returned.
//  5. A reply that the client has partly seen is never completed by anything but the
//     rest of that reply: if the rest is lost, the client is disconnected.
//  6. A reply on a durable route, and all later output, reaches the client only once the write is
//     proven by the process that executed it; else an error or the end of the connection takes its
//     place.
package proxy
