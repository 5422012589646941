// Package harness is shared by the load tests: starting servers, peers and the proxy as processes
// of their own, reading a process's costs from /proc, and keeping the results file.
//
// It measures from outside only, so that every contender is treated alike, and shares with the
// project's tests only how processes are run (proxy/proxytest/local). It runs on Linux, where /proc
// is. A Process, and Workers, may be used from several goroutines; everything else is plain values
// and functions.
package harness
