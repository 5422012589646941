// Package proxytest holds what tests need around the proxy: real servers, a scripted fake
// upstream and a relay that makes one fault.
//
// A [Server] is a private Redis or Valkey process on a free loopback port or a unix socket, with
// its own folder, that ends with the test. There is no skipping: where no server binary can be
// found the test fails and says what to run. A [Scripted] upstream answers byte for byte what a
// test says, and can cut the connection at any byte. A [Relay] stands in front of a real server and
// cuts, stalls, delays, splits or refuses.
//
// The package knows nothing of the proxy itself and is imported by tests only. Servers, scripted
// upstreams and relays may be used from several goroutines, but calls that end the test (those that
// return no error) belong on the test's own goroutine, as testing.TB.Fatal does.
package proxytest
