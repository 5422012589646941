// Package history holds the clients' writes and their answers, and judges them against the final
// state.
//
// # The ledger
//
// Most writes leave a trace of their own: an element with a unique tag, in a list, a set, a hash, a
// string. So the final state shows the outcome of each:
//   - acknowledged: its effect is there, be it an element added, moved or removed;
//   - unknown (the connection broke, -UNCONFIRMED, -UPSTREAM "may have been executed"): its effect
//     is there or not, but wholly or not at all, and not twice;
//   - refused (-NODURABLE, -UPSTREAM "was not executed"): its effect is not there.
//
// # Registers
//
// Some keys are registers that all clients read, write and swap, for linearizability (Herlihy and
// Wing), which porcupine checks key by key. Every value is written at most once. An unknown write
// stays open to the end: it may be executed at any time, or never. An unknown write whose value no
// operation ever saw is left out. That is sound, because every operation that depends on the
// present value also returns it: without the unseen write, the others find the same. (A swap that
// is itself unknown and was seen counts as having seen its expected value.)
//
// The checks follow the promises. Reads are not held, so a read may show a write that was never
// confirmed and that is lost with the primary. A prefix of the primary's history survives it, and
// this prefix holds every acknowledged write. Therefore:
//   - Within the life of one primary everything is linearizable, all reads included, and writes
//     with the answer -UNCONFIRMED have been executed: Life.
//   - Across a failover the acknowledged and the unknown writes are linearizable, together with the
//     reads that saw the value of an acknowledged write, and all reads of the last primary: Across.
//     Lost writes follow all acknowledged ones. So a read of an acknowledged value found no
//     lost write to that key before it, and fits into the history without the lost ones. Reads in
//     flight while the primary changed may have come from the old one after the new one
//     had begun; they are left out, and have no promise.
//
// The package is plain data and functions; nothing here is safe for concurrent use unless it says
// so.
package history
