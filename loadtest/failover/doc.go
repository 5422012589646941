// Package failover fails over a primary with two replicas and three sentinels while clients write
// through the proxy, and counts the acknowledged writes that the new primary does not have, the time
// for which clients got no answer, and their errors.
//
// Each client is of one kind: it writes keys of no route (plain), of the route journal, of the routes
// replicas: 1 or replicas: 2, or it goes round the proxy (direct), to the server that a sentinel
// names whenever its connection breaks. Every write has a tag of its own, so the state afterwards
// shows each by itself; registers are checked for linearizability (loadtest/crash/history).
//
// A scenario says which kinds must lose nothing. The harness proves itself: without the hold, a
// planned failover must lose plain writes.
//
// The tests are the program. `make test` plays the short form on one server; `make failover` plays
// all scenarios and writes the table into loadtest/RESULTS.md.
package failover
