package main

import (
	"os"
	"runtime"
)

// The journal's writer sits in fdatasync most of the time, and an event loop in system calls. While
// a goroutine is in one, Go's scheduler keeps a processor (a P, one per core) for it. After 20 µs
// it takes the processor back if it has no other for runnable goroutines. With two cores, one loop
// and a journal it does so at each fsync (retake in runtime/proc.go: sysmon, the thread that looks
// for such processors, does not rest while it finds any), and the writer waits for a processor when
// its fsync is done. With one more processor than goroutines in system calls, one is always idle.
// Measured with 50 and 200 connections on a durable route, depth 1 and 16: 7 to 15 % more
// throughput (loadtest/RESULTS.md).
// (loadtest/RESULTS.md).

// wantedProcessors is the number of processors for the scheduler, given that it has these; set is
// the environment variable GOMAXPROCS, which wins.
func wantedProcessors(have, workers int, journal bool, set string) int {
	if !journal || set != "" {
		return have
	}
	return max(have, workers+2) // the loops, the journal's writer, and an idle one
}

// moreProcessors sets that number until restore is called.
func moreProcessors(workers int, journal bool) (restore func()) {
	have := runtime.GOMAXPROCS(0)
	n := wantedProcessors(have, workers, journal, os.Getenv("GOMAXPROCS"))
	if n == have {
		return func() {}
	}
	runtime.GOMAXPROCS(n)
	return func() { runtime.GOMAXPROCS(have) }
}
