// Package keyspace compares and writes single keys of two servers. It is the engine of repair, of
// restoring single keys, and of diff; it depends on neither a journal nor a purpose.
//
// # Use
//
//	source, err := keyspace.Open(ctx, keyspace.Endpoint{Address: scratch})
//	target, err := keyspace.Open(ctx, keyspace.Endpoint{Address: live, Username: …})
//	err = keyspace.Sync(ctx, keyspace.Options{
//		Source: source, Target: target, Pace: pace,
//		Decide: func(c keyspace.Comparison) keyspace.Action { … }, // nil: compare only
//	}, keys, func(r keyspace.Result) error { … })
//
// Sync takes keys from an iterator, in batches, and calls its last argument once for each, in no
// particular order. A key without a Result was not written. [Server.Keys] lists the keys of a
// server; [KeysOf] makes an iterator of a slice; stream.Command.Touches names the keys that a
// command of the replication stream changes. A Server has one connection and belongs to one
// goroutine at a time.
//
// To verify, call Sync again without Decide. To resume a Sync that was cut off, call it again: keys
// that are done are found to be [Same].
//
// # What a comparison proves
//
// A key is the same if type, deadline and value are; the value of a hash has the deadlines of its
// fields, that of a stream its entries, last id, counters, groups, consumers and pending entries.
// Equal DUMPs prove equal values. Unequal ones prove nothing, because servers of one version encode
// equal values differently; then both values are read by their type, in pieces, and their digests
// are compared. For a type that has no reads of its own, such as those of modules, the outcome is
// Unknown. Two facts are compared only by equal DUMPs: the last delivery of a pending entry, and the
// last sighting of a consumer.
//
// All reads of a key stand between WATCH and EXEC. If the key changes meanwhile they are repeated,
// so a comparison is of one moment on each side. A refused command makes the outcome Unknown, with
// the server's words. Nothing needs DEBUG or an administrator's rights.
//
// A key whose deadline has passed by the clock of either server counts as gone on both.
//
// # What a write proves
//
// The target's key is watched from before it was read for the comparison until EXEC, so no write of
// another client in between is overwritten: the outcome is then Conflict. Values of up to
// [SmallBytes] are written by RESTORE or by the commands of their type, in the one transaction.
// Larger ones are built in pieces under a temporary name (see [TempMark]) with a deadline of its
// own; the transaction sets their real deadline and renames them. No client ever sees half a value.
//
// If the connection breaks between EXEC and its reply, the outcome is Unsure, and Sync ends.
package keyspace
