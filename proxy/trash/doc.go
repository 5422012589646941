// Package trash moves data aside on the server instead of destroying it, and restores it for the
// operator.
//
// Some of the server's databases are reserved for it. The last of them holds the ledger, a hash of
// one JSON text per entry; the others are slots. A flush swaps each database with an empty slot
// (SWAPDB), in constant time. The clients see empty databases, and get the reply of a flush. Single
// keys are moved by RENAME and MOVE.
//
// Every step is one script, so that the server carries out all of it or nothing, even if the proxy
// dies. Two proxies take turns without coordination: one script finds the free slots, decides, and
// records the result in the ledger. The proxy keeps no state of the trash. The rejected design uses
// several steps under WATCH: a proxy can die in its intermediate states.
//
// A Plan is the trash's layout on one server. It hides the reserved databases from clients, and a Move
// makes of a client's command the script that takes its place. A Keeper, one for each event loop, runs
// scripts by the control user's link and empties expired entries; it knows its loop by an Env. A
// Console answers the operator.
//
// Plans are immutable. A Keeper and its Moves belong to one loop; Room and Console may be used by any
// goroutine.
package trash
