// Package event finds destructive commands in a replication stream: flushes, swaps of databases,
// moves to the proxy's trash in their place, and many deletes within a short time. Commands of that
// kind that follow each other closely are one event, so that a restore can go back to before the
// first of 100,000 FLUSHALLs.
//
// It also counts the keys of each database, as far as the stream allows: exactly after a flush or a
// count by the server, within bounds otherwise.
//
// A [Watcher] takes a journal's frames in their order. Its result depends on nothing else, so
// events found while the stream arrives and events found by reading a folder years later are the
// same. It belongs to one goroutine.
package event
