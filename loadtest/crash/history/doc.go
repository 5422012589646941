// Package history holds what clients were told about their writes, and judges it against what was
// there afterwards.
//
// # The ledger
//
// Most writes leave a trace of their own: an element with a tag that nobody else uses, in a list, a
// set, a hash, a string. So what became of each of them can be read off the final state:
//   - acknowledged: its effect is there, be it an element added, moved or removed;
//   - unknown (the connection broke, -UNCONFIRMED, -UPSTREAM "may have been executed"): its effect
//     is there or not, but wholly or not at all, and not twice;
//   - refused (-NODURABLE, -UPSTREAM "was not executed"): its effect is not there.
//
// # Registers
//
// Some keys are registers that all clients read, write and swap, for linearizability (Herlihy and
// Wing), which porcupine checks key by key. Every value is written once at most. An unknown write
// stays open to the end: it may be executed at any time, or never. One whose value nobody ever saw
// is left out, which is sound, because every operation that depends on the value that it finds
// also tells it: without the unseen write, the others find the same. (A swap that is itself unknown
// and was seen counts as having seen what it expected.)
//
// What is checked depends on what is promised. Reads are not held, so a read may show a write that
// was never confirmed, and that is lost with the primary. What survives a primary is a prefix of its
// history that holds every acknowledged write. Therefore:
//   - Within the life of one primary everything is linearizable, all reads included, and what was
//     answered -UNCONFIRMED has been executed: Life.
//   - Across a failover the acknowledged and the unknown writes are, together with the reads that
//     saw the value of an acknowledged write, and all reads of the last primary: Across. For what
//     was lost stood behind all that was acknowledged, so a read of an acknowledged value found no
//     lost write to that key before it, and fits into the history without the lost ones. Reads that
//     were under way while the primary changed may have come from the old one after the new one
//     had begun; they are left out, and nothing is promised of them.
//
// The package is plain data and functions: nothing here is safe for concurrent use but what says so.
package history
