// Package proxytest is the test bench of the proxy: real servers, a scripted fake upstream and a
// relay that makes one fault.
//
// A [Server] is a private Redis or Valkey process on a free loopback port or a unix socket, with
// its own folder, that ends with the test. Tests never skip: without a server binary a test fails
// and names the command that installs one. A [Scripted] upstream answers byte for byte as scripted,
// and can cut the connection at any byte. A [Relay] sits between client and a real server and cuts,
// stalls, delays, splits or refuses.
//
// The package does not know the proxy, and only tests import it. Servers, scripted upstreams and
// relays may be used from several goroutines, but calls that end the test (those that return no
// error) belong on the test's own goroutine, as testing.TB.Fatal does.
package proxytest
