// Command hostile measures a well-behaved client's latency while others behave badly.
//
//	go run ./loadtest/hostile [--rounds 5] [--seconds 2] [--only name,…]        (make bench-hostile)
//
// Four clients send a GET every two milliseconds each. The attack runs in a process of its own with
// a low priority, so that it competes with them inside the server and the proxy rather than for the
// processor. Each round measures the latency before and during the attack, directly at the server
// and through the proxy, one right after the other, so that other load on the machine meets both. A
// latency counts from the due time of the GET.
//
// The goal is a p99 during the attack of at most twice its value before, or of at most the direct
// one. The table goes to standard output and into loadtest/RESULTS.md; exit code 1 when the proxy
// misses a goal.
package main
