// Package diff compares a server with a journal, key by key, at the server's own offset, while it
// goes on writing.
//
// # How
//
// A scratch server follows the journal as a replica: it stands at an exact offset and advances on
// request (see [replay.Follower]). All keys of the live server are compared with it in batches,
// then the scratch server's keys are looked for on the live one.
//
//	scratch  ──── stands at s ────────────────────────────────────────────────▶
//	live     ── s ─── batch is read ─── the live server says its offset, e ───▶
//
// Equal values are equal. A key that differs is in question if a command in [s, e) of the journal
// touches it, for the live server may have executed it already. Then it is compared again, with the
// scratch server as near as can be. A key that differs twice, without a command in between in the
// journal that touches it, differs for certain: the server's own stream does not explain it. One
// that never stands still is reported as changing.
//
// # What it needs
//
// The rights that [keyspace] needs to read a key, SCAN, EXISTS and INFO; no DEBUG. Memory is
// bounded: keys stream, up to [MaxOpen] are in question at once, and up to [MaxListed] differences
// are kept with their last write.
package diff
