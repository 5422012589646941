// Package candidates finds the primary among a few servers by their own accounts, where no sentinel
// watches them: a managed pair, two servers that an operator fails over by hand, keepalived.
//
// It asks every candidate for its role and for its history (INFO). A server that says "master" is not
// believed for that alone, since three servers say so:
//
//   - one that was promoted from the primary's history, which the proxy must follow;
//   - an old primary that is back after a crash, or was only cut off, beside the promoted one;
//   - a replica that was started again without its replicaof, with old data or with none.
//
// Replication ids tell them apart. A server that is promoted gets a new id, and keeps its primary's as
// its second one; so does one that is started again from an RDB file, without being promoted. So the
// rules, in judge.go, ask for both: the second id is one that the primary has had, and this very
// process has been a replica. That is seen here (by the run id), or the server shows it
// (total_net_repl_input_bytes).
//
// The last primary stays the primary, whether it answers or not, until another one has proved that
// it continues its history, or until it says itself that it is a replica of one that is a primary. A Watcher that
// starts, and goes on for none, takes the only candidate that says master, or
// the one whose history is the newest by these rules, once all of them have answered or failed to. One that
// loads its data as a primary has done neither.
//
// Two things are known from before (Known). What a Watcher of this process, or of the one that it takes over from, has
// seen until now is the state of that Watcher, and this one begins with it. A journal has only a record: another
// server may have been promoted since. So it decides nothing by itself, but while a candidate is silent, a server
// whose history clients had left, or that was only started again, is not taken.
//
// judge decides and does no I/O. One goroutine (Watcher.run) owns the state; one per candidate
// (Watcher.attend) asks it, once a second, and every 100 ms while there is a doubt or the primary does
// not answer. A View is immutable; any goroutine may read it.
package candidates
