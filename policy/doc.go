// Package policy decides what happens to a command. It owns the command table (what the server
// says its commands are), key extraction, what commands can destroy, the rules and the verdict that
// they lead to, limits and delete budgets, what scripts call, what a server's ACL must refuse, and
// the routes on which writes owe a proof that they are durable.
//
// It does no I/O, starts no goroutine and knows neither sessions nor links: the caller reads the
// server's COMMAND reply, looks each request up, asks for a verdict and carries it out.
//
// A Table, a Policy, Routes, a Guard, a Script and what they hand out are immutable once built, and
// may be used from any number of goroutines; a reload builds new ones beside the old and the caller
// swaps a pointer. (A Policy keeps what it has worked out about kinds of clients, behind a mutex
// that is taken when a client is new to it.) A Command belongs to the Table that it came from: look
// a request up in the table of the policy that decides it (Policy.Table). Limits, Scripts and
// Budget change; they are kept across reloads, and safe for concurrent use behind a mutex that is
// held for a look-up. A Client belongs to one session, and to the goroutine that serves it.
//
// # A request, step by step
//
// Look the command up (Table.Lookup), fill in a Request and ask Policy.Decide; for a command that
// runs or loads code (Command.RunsCode), fill in Request.Script from Scripts.Of and ask
// Policy.DecideScript. Where the verdict's rule has a Limit, ask Limits.Take. Where the request may
// delete (Command.MayDelete), ask Budget.Check before and tell Budget.Count after. Then carry out
// Verdict.Effective: Trash only for what destroys something (Command.Replaces,
// Command.DeletesByTime), Rewrite as RewriteOf says. What Guard.Refuses has to take a link of a
// user that the guard does not bind. A request that is to be executed is put to Routes.Match, and
// its reply is held until what that asks for is proven.
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
