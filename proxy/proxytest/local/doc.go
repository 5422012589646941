// Package local has what tests and load tests share on this machine: processes that end with the one
// that started them, free ports, a relay between clients and a server, and the writing of commands.
// It does not know package testing, so that programs can use it.
package local
