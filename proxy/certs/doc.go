// Package certs makes TLS configurations from certificate files and keeps them current.
//
// It owns the files' contents and the configurations built from them: a [Server] for the accepting
// side, a [Client] for the connecting side, the credentials of [Users], and a [Set] with all of one
// configuration. It reads the user's name in a client certificate ([UserFrom]). It opens
// connections only in [Client.Dial] and [Server.DialSelf], and knows neither listeners nor
// upstreams.
//
// # Files that are replaced
//
// [Set.Check] reads every file again and compares the contents, so it does not matter how a file is
// replaced: written in place, renamed over, or behind a symbolic link that is switched, as
// Kubernetes does with secrets. A certificate and its key are two files, which rarely change at
// the same moment. So a mismatch becomes an error only at the second look at the same contents. The
// previous certificate stays in force until the files are good.
//
// A client that resumes a session is verified against the authorities of that moment, so one whose
// authority was removed is refused. Connections that are open stay open.
//
// # Concurrency
//
// A Server, a Client and Users may be used by any goroutine. A Set is built by one goroutine; Check and
// Certificates may then be called by any.
package certs
