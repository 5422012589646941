// Package putback sets some keys of a server back to their state at a point of its journal, and
// leaves everything else as it is.
//
//  1. A scratch server is brought to the point (package scratch).
//  2. The chosen keys are compared with those of the target, and written where they differ
//     (package keyspace), unless that is a conflict.
//  3. Each key that was written is compared once more.
//
// # What is a conflict
//
// A key that another command wrote after the point: its present value may be wanted.
//
//   - Where the commands to undo are named, as a [Span], and the target is the server that the
//     journal records, the journal decides exactly: a key is a conflict if another command between
//     the point and this moment has touched it. "This moment" is behind the beginning of the
//     key's WATCH, up to which the journal is read while the keys are compared; a later write
//     makes the transaction fail, which is a conflict, too. A key that expired at its deadline is
//     none.
//   - Everywhere else there is no record of the writes, and each key of the target that differs
//     from the point is a conflict. A missing key is put back.
//
// Memory is bounded: a span that touches more than [MaxKeys] keys is refused.
package putback
