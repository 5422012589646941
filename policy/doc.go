// Package policy decides what happens to a command. It owns the command table (the server's
// commands), key extraction, the destructive effects of commands, rules and verdicts, limits and
// delete budgets, the analysis of scripts, the commands that a server's ACL must refuse, and the
// routes on which writes owe a proof of durability.
//
// It does no I/O, starts no goroutine and knows neither sessions nor links: the caller reads the
// server's COMMAND reply, looks each request up, asks for a verdict and carries it out.
//
// A Table, a Policy, Routes, a Guard, a Script and their results are immutable once built, and safe
// for any number of goroutines. A reload builds new ones, and the caller swaps a pointer. (A Policy
// caches its views of clients, behind a mutex that is taken when a client is new to it.) A Command
// belongs to the Table that it came from: look a request up in the table of the policy that decides
// it (Policy.Table). Limits, Scripts and Budget change; they are kept across reloads, and safe for
// concurrent use behind a mutex that is held for a look-up. A Client belongs to one session, and to
// the goroutine that serves it.
//
// # A request, step by step
//
// Look the command up (Table.Lookup), fill in a Request and ask Policy.Decide; for a command that
// runs or loads code (Command.RunsCode), fill in Request.Script from Scripts.Of and ask
// Policy.DecideScript. Where the verdict's rule has a Limit, ask Limits.Take. Where the request may
// delete (Command.MayDelete), call Budget.Check before and Budget.Count after. Then carry out
// Verdict.Effective: Trash only for requests that destroy something (Command.Replaces,
// Command.DeletesByTime), Rewrite as RewriteOf says. Requests that Guard.Refuses must take a link
// of a user that the guard does not bind. Pass a request that will be executed to Routes.Match, and
// hold its reply until the match's demand is proven.
//
// # Names that go round a table
//
// The server compares command names as C strings, without regard to case. A name that carries a NUL
// byte can therefore meet a command in its dictionary by a hash coincidence; Lookup takes such a
// name for the command before the NUL. Redis 8 goes further and reuses a connection's last command
// for any name that compares equal, including "CONFIG|SET" as one word; Decide takes that for the
// subcommand. A table cannot show rename-command: the server's COMMAND reply gives the original
// name, and the new one is unknown here.
package policy
