// Package recorder keeps a journal beside a proxy: it opens the folder, attaches it to the server, reopens it
// after a failure, reads its files again, repairs a server that lost writes, and reports all of that to log,
// readiness, metrics and console.
//
// Package journal owns the files, and journal/tap the replication connection. A Recorder joins the two for the
// life of a proxy. Its methods may be called from any goroutine, except Change and Close, which take turns.
// Those of proof.go may be called from event loops: they take no lock for long and never wait.
package recorder
