// Package admin is the operator's console: RESP on a listener of its own, so that redis-cli is
// its client (redis-cli -p 6390). It owns the listener, the framing in front of redcon, the
// commands and how their replies read. What the commands show and do is the proxy's: it
// implements Backend.
//
// # Safety
//
// The console can end the process, so it listens on loopback or asks for a password; New refuses
// the rest. Requests are framed and bounded by us before redcon, which serves them, sees a byte:
// see framedConn. A panic in a handler costs one reply. What came from clients is made harmless
// to a terminal before it is shown. An HTTP request is closed, so that a web page cannot make a
// browser give commands.
//
// # Concurrency
//
// A goroutine for each client, 100 at the most: nothing here is on the data path. Server is safe
// for concurrent use; Backend must be.
//
// # Adding a command
//
// One entry in a table (showCommands, controlCommands, connectionCommands) and its handler beside
// it: HELP, the check of the number of arguments, and redis-cli's hints and completion follow. If
// it needs more from the proxy, one method in Backend. Its error texts stand in text.go.
package admin
