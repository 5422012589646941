// Command bench compares the proxy with its peers: the same valkey-benchmark against the server
// directly, twemproxy, HAProxy in TCP mode, and this proxy with its default rules and metrics on;
// and the proxy with itself under fifty rules, none of which concerns the load; and with an older
// build; and TLS in the proxy, to clients and to both sides, with plain, with HAProxy that ends TLS,
// and with the server's own TLS.
//
//	go run ./loadtest/bench [--rounds 5] [--seconds 1] [--quick]        (make bench)
//	go run ./loadtest/bench --rules                                     (make bench-rules)
//	go run ./loadtest/bench --tls                                       (make bench-tls)
//	go run ./loadtest/bench --before bin/old                            (make bench BENCHFLAGS="--before bin/old")
//
// A cell is one workload, depth of pipelining and number of connections. In every round each cell
// is run against each target in turn, so that other load on the machine meets all of them alike;
// the figures are medians over the rounds. Throughput is as valkey-benchmark reports it. CPU per
// command is the processor time of the target's process meanwhile, all its threads, as the kernel's
// scheduler counts it, over the number of commands; "server" is the same of the server behind it.
//
// valkey-benchmark has no time limit, so each run gets a number of requests that takes about the
// asked seconds at the rate the same cell had before. The mix is two valkey-benchmarks side by
// side, one SET and one GET, each with half of the connections.
//
// A run with --tls measures each cell twice, with all requests and with a quarter of them, and gives
// the processor time of the difference: it leaves out the handshakes, one a connection and run. The
// commands/s, of all requests, include them.
//
// The result goes to standard output and into loadtest/RESULTS.md, between marks; text around the
// marks stays.
package main
