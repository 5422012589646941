// Command durablebench measures what it costs to know that a write is durable before it is
// acknowledged, by five ways to know it:
//
//	(a)  a plain server with appendfsync always
//	(b)  a plain server with a replica; the client sends SET, and WAIT 1 0 behind it
//	(c)  the proxy with ack: {journal: true} before a server without AOF
//	(d)  the proxy with ack: {aof: {local: true}} before a server with appendfsync always
//	(e)  the proxy with ack: {replicas: 1} before a server with a replica
//
//	go run ./loadtest/durablebench [--rounds 5] [--seconds 0.45] [--quick]   (make bench-durable)
//
// A cell is a number of connections and a depth of pipelining. In every round each cell is run
// against each of the five, in an order of its own and when nobody writes to the disk any more, so
// that what else the machine does meets all of them alike. Throughput and CPU are medians over the
// rounds, latencies are those of all rounds together.
//
// A client sends a batch of depth SETs, waits for all replies and sends the next. What is fair to
// (b) is decided in its favour: it sends one WAIT behind the whole batch, in the same packet, since
// WAIT covers all that its connection wrote. A SET of (b) is acknowledged when WAIT's reply is
// there. Another row shows a WAIT behind each SET, which is what independent callers on one
// connection would send. All of one contender's files are on one disk, the journal and the AOF
// alike. A last row has keys that are on no route, by (e)'s proxy: what of its price is the
// proxy's, and not the proof's. Both of these rows are for the machine's own disk only.
//
// The whole is done on the machine's own disk, and on disks whose flush takes 5 ms and 50 ms
// (package fusedisk). How long fdatasync takes there, for a file that grows and for blocks that are
// written over, is measured first and printed. Where such a disk cannot be had, the result says so.
//
// The second measurement is what readers feel: one client that sends GETs, beside 50 that write,
// on the durable route and off it, through the same proxy; and beside 50 writers of (a).
//
// The load comes from this process, by an epoll loop of its own for writers and another one for
// the reader. CPU per command is what the process's CPU clock advanced during the run, over the
// number of SETs that were acknowledged; kernel threads, the replica and this process are in
// nobody's account.
//
// The result goes to standard output and into loadtest/RESULTS.md, between marks, and a short table
// of it into README.md.
package main
