// Command durablebench measures the cost of proving that a write is durable before it is
// acknowledged, by five proofs:
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
// against each of the five, in an order of its own and once the disk is idle, so that other load on
// the machine meets all of them alike. Throughput and CPU are medians over the rounds, latencies
// are those of all rounds together.
//
// A client sends a batch of depth SETs, waits for all replies and sends the next. Questions of
// fairness are decided in favour of (b): it sends one WAIT behind the whole batch, in the same
// packet, since WAIT covers every write of its connection. A SET of (b) is acknowledged with WAIT's
// reply. Another row has a WAIT behind each SET, as independent callers on one connection would
// send it. All of one contender's files are on one disk, the journal and the AOF alike. A last row
// has keys that are on no route, through (e)'s proxy: it shows the proxy's part of the price,
// without the proof. Both of these rows are for the machine's own disk only.
//
// All of this runs on the machine's own disk, and on disks whose flush takes 5 ms and 50 ms
// (package fusedisk). The time of fdatasync there, for a file that grows and for overwritten
// blocks, is measured first and printed. Where such a disk is unavailable, the result says so.
//
// The second measurement is the effect on readers: one client that sends GETs while 50 write, on
// the durable route and off it, through the same proxy; and while 50 write to (a).
//
// The load comes from this process, by an epoll loop of its own for writers and another one for the
// reader. CPU per command is the advance of the process's CPU clock during the run, over the number
// of acknowledged SETs; kernel threads, the replica and this process are not counted.
//
// The result goes to standard output and into loadtest/RESULTS.md, between marks, and a short table
// of it into README.md.
package main
