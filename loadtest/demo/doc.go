// Command demo is the incident that Holdfast is for, played on this machine: `make demo`.
//
// A private Valkey holds a million keys in several databases, and clients read and write through
// the proxy. Then a bug sends 100,000 FLUSHALLs from 50 connections in two seconds. The first goes
// to the trash, the others are throttled, the clients go on. UNDO brings the data back, and the
// demo proves it: the digest of every value (DEBUG DIGEST-VALUE) and every deadline (PEXPIRETIME)
// are unchanged. It exits with 1 if any of this fails.
//
// It imports nothing of the project but loadtest/harness, and speaks to server, proxy and console
// as any client would.
package main
