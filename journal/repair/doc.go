// Package repair puts back the lost end of a history that the journal holds, and nothing else.
//
// # The rule
//
// The lost branch is [From, To) of a timeline that the server has left (journal.Incident). A key is
// merged three ways: base is its state where the histories part, theirs its state at the end of the
// lost branch, ours its state on the live server now.
//
//	ours is theirs                                             nothing to do
//	theirs is base                                             only the live history changed it: ours
//	ours is base, and the live history has not written it      theirs is put back, or it is deleted
//	else                                                       a conflict: Options.Conflicts decides
//
// "Has not written it" is a fact of the journal's stream of the live history, if that is complete;
// otherwise "ours is base" is the only evidence. An INCR on either side changes the value, so
// counters that went on in both are conflicts: nothing is added up.
//
// A key whose deadline has passed is gone, on all three sides, and stays so.
//
// # A server that was not written to
//
// Where the histories part exactly, and the journal has all of the live history, without a client's
// write, the server is fed the lost branch (replay.Feed): its state is then exactly the branch's,
// without a scratch server and without a comparison. Keys that the server removed, such as expired
// ones, are no such write unless the branch writes or reads them. Before each step a note goes into
// the journal's folder (journal.Feeding): a server whose repair was killed gets its role back by the
// proxy, or by the next repair, which reads in the live history how far the feed came and goes on
// from there.
//
// # Where the histories part
//
// Replication ids give the place exactly (a restart from an RDB file, a failover). A mark puts it
// somewhere from From on: then ours may be the key's state anywhere in between, and the lost
// branch's own history proves that if no client has written since the server started. An empty
// server began with nothing: base is a missing key. For a server that was started from data older
// than the timeline, base is not known: missing keys are put back, every other difference is a
// conflict.
//
// # The verdict
//
// For an incident in question, the comparison is the verdict (Report.Verdict), also in a dry run.
// Nothing was lost if each key is theirs, or was changed on the live server alone. A loss is proven
// if a key is put back and the live history is complete. Where clients wrote before the journal
// followed the server again, a key that is theirs counts only if none of their commands can
// have added to it: journal.Incident.Early lists these commands.
//
// # Which keys
//
// Only those that the lost branch touched (stream.Command.Touches); others are neither read nor
// written. Where it flushed or swapped a database, or has a command that names no keys, those are
// the keys that the database had at From or has at To, which the scratch server lists: a key that
// is missing at both ends does not differ. Where the place at which the histories part is not known
// exactly, the live server's keys of that database are compared, too. The keys are kept on disk
// (pile), so that memory does not depend on their number.
//
// # Steps
//
// The server is fed, or else:
//
//  1. The tail is read, and its keys are recorded.
//  2. A scratch server is brought to From, where prints of these keys are taken, and then to To.
//  3. The stream of the live history is read up to now: which of the keys it wrote.
//  4. Each key is compared and written by keyspace.Sync, which overwrites nothing that changes
//     meanwhile.
//  5. Each written key is compared once more. One that a client has written since is right.
//  6. The incident is closed.
//
// A repair by keys that ends at any step starts over: keys that were put back are theirs already.
// Its transactions are signed (SignKey), so that the next run leaves alone keys that were put back
// before and written since. The journal records them as the live history's writes, which they are.
package repair
