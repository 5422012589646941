package main

import (
	"os"
	"runtime"
)

// The journal's writer sits in fdatasync most of the time, and an event loop in system calls. While a
// goroutine is in one, Go's scheduler keeps a processor (a P, of which there are as many as cores)
// for it, and takes that back after 20 µs if it has no other to give to whoever wants to run. With
// two cores, one loop and a journal it does so at each fsync (retake in runtime/proc.go: sysmon, the
// thread that looks for this, does not rest as long as it finds any), and the writer waits for a
// processor when its fsync is done. With one more than sit in system calls one is always idle.
// Measured with 50 and 200 connections on a durable route, depth 1 and 16: 7 to 15 % more throughput
// (loadtest/RESULTS.md).

// wantedProcessors is how many the scheduler should have, where it has these; set is the environment
// variable GOMAXPROCS, which is somebody's decision.
func wantedProcessors(have, workers int, journal bool, set string) int {
	if !journal || set != "" {
		return have
	}
	return max(have, workers+2) // the loops, the journal's writer, and an idle one
}

// moreProcessors puts that in force until restore is called.
func moreProcessors(workers int, journal bool) (restore func()) {
	have := runtime.GOMAXPROCS(0)
	n := wantedProcessors(have, workers, journal, os.Getenv("GOMAXPROCS"))
	if n == have {
		return func() {}
	}
	runtime.GOMAXPROCS(n)
	return func() { runtime.GOMAXPROCS(have) }
}
