// Package admin is the operator's console: RESP on a listener of its own, so that redis-cli is its
// client (redis-cli -p 6390). It owns the listener, the framing before redcon, the commands and the
// form of their replies. Data and actions come from the proxy, which implements Backend.
//
// # Safety
//
// The console can end the process, so it listens on loopback or asks for a password; New refuses
// any other configuration. framedConn frames and bounds requests before redcon, which serves them,
// sees a byte. A panic in a handler costs one reply. Client data is made harmless to a terminal
// before it is shown. An HTTP request closes its connection, so that a web page cannot make a
// browser give commands.
//
// # Concurrency
//
// There is one goroutine per client, at most 100: nothing here is on the data path. Server is safe
// for concurrent use; Backend must be.
//
// # Adding a command
//
// One entry in a table (showCommands, controlCommands, connectionCommands) and its handler in the
// same file. HELP, the check of the number of arguments, and redis-cli's hints and completion
// follow. If it needs more from the proxy, one method in Backend. Its error texts stand in text.go.
package admin
