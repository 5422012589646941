// Command crash kills servers and proxies under load, again and again, and looks for acknowledged
// writes that are missing afterwards: `make crash`.
//
// A round is one scenario on fresh machines: servers, replicas and proxies as processes of their
// own, with relays between them for the network. Clients write and read, and every answer is
// recorded. Faults of all sorts happen, and in the end the primary is killed with SIGKILL, perhaps
// with others. Then the scenario recovers by its demand: it restores the journal, restarts the
// server from its append-only file, or promotes a replica. Every acknowledged write must be there,
// no refused one may be, and the histories of shared registers must be linearizable. Package
// history has the exact rules and their limits.
//
// A kill leaves the page cache as it is, so that a missing fsync does not show. Where root can
// mount a disk that loses power (package fusedisk), scenarios with a power cut are played, too.
//
// The harness proves itself first: without a gate, with a network that falsifies replies to WAIT,
// WAITAOF, CONFIG and INFO, and on a disk that does not flush, it must find the loss.
//
// Seeds repeat the random choices, not the timing between processes.
package main
