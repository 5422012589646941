// Command upgrade replaces a proxy under load, again and again, and counts what its clients meet.
//
//	go run ./loadtest/upgrade [--rounds 20] [--clients 32] [--restart]        (make upgrade)
//
// Clients write keys of their own through a TCP, a unix and a TLS listener, half of them on a route that waits for the
// journal. Half of them connect for a few writes at a time, the others stay until their connection ends. Rounds
// alternate between SIGUSR2 and a new process with --takeover.
//
// At the end no connection may have been refused, no write may have got an error, every write that was answered OK
// must be in the server, and the journal must be one history without a gap that leads to the server's data (proxy diff).
// --restart stops each proxy and starts the next one instead: the checks must fail then, which shows that they can.
//
// The figures go to standard output and into loadtest/RESULTS.md. Exit code 1 when a check fails.
package main
