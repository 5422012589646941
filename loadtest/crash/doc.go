// Command crash kills servers and proxies under load, again and again, and looks for acknowledged
// writes that are missing afterwards: `make crash`.
//
// A round is one scenario on fresh machines: servers, replicas and proxies as processes of their own,
// with relays between them that stand for the network. Clients write and read, all that they are
// told is recorded, faults of all sorts happen, and in the end the primary is killed with SIGKILL, and
// more with it. Then what the scenario's demand promises is brought back: the journal is restored, the
// server restarts from its append-only file, a replica is promoted. Every acknowledged write must be
// there, no refused one may be, and the histories of shared registers must be linearizable. Package
// history has the exact rules, and says what is not promised.
//
// A kill leaves the page cache as it is, so that a missing fsync does not show. Where root can mount
// a disk that loses power (package fusedisk), scenarios with a power cut are played, too.
//
// The harness proves itself first: without a gate, with a network that answers WAIT, WAITAOF, CONFIG
// and INFO falsely, and on a disk that does not flush, it must find the loss.
//
// Seeds repeat the choices that are made, not the moments at which processes meet.
package main
