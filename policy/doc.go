// Package policy decides what happens to a command. It owns the command table (what the server
// says its commands are), key extraction, the rules and the verdict that they lead to.
//
// It does no I/O, starts no goroutine and knows neither sessions nor links: the caller reads the
// server's COMMAND reply, looks each request up, asks for a verdict and carries it out.
//
// Everything here is immutable once built. A Table, a Policy and what they hand out may be used
// from any number of goroutines without a lock; a reload builds new ones beside the old and the
// caller swaps a pointer. A Command belongs to the Table that it came from: look a request up in
// the table of the policy that decides it (Policy.Table).
//
// # Names that go round a table
//
// The server compares command names as C strings, without regard to case. A name that carries a
// NUL byte can therefore meet a command in its dictionary by a hash coincidence; Lookup takes
// such a name for the command before the NUL. Redis 8 goes further and reuses a connection's last
// command for any name that compares equal, also "CONFIG|SET" as one word; Decide takes that for
// the subcommand. What a table cannot show is rename-command: the server's COMMAND reply gives the
// original name, and the new one is unknown here.
package policy
