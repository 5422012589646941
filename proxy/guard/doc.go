// Package guard makes the server itself refuse, inside scripts and functions, the commands that the
// rules refuse outside: the scan of code can be deceived, the server's ACL cannot.
// While rules refuse commands that code could call, or there is a trash to protect from code, the
// control connection keeps a restricted user on the server: a copy of the user default without the
// refused commands. The shared links on which sessions of the user default run their scripts log in
// as that user.
//
// Only these links do, and temporarily those on which a session runs code in a transaction or with
// other state of its own (proxy/guard_pin.go). The proxy decides about ordinary commands and sends them
// by links of the client's own user, so the guard never blocks a command that a rule allows. Code
// that the guard cannot bind is judged as without a guard, which is stricter.
//
// The user's name is derived from its rights and from the process, which alone knows the random
// password and deletes the user when it exits. A missing user, after a restart of the server for
// instance, is noticed when a link cannot log in, and made again. A user that was changed from
// outside, or whose rights no longer match those of the user default, is noticed at the next check,
// a second later. Other proxies delete the user of a killed process, see stale.go.
//
// It owns that user. Its Env says what to refuse, on which server, and puts the user in force; the
// links that log in as it are package proxy's.
package guard
