// Package page is the operator's page, served at / of admin.http: the state of the proxy, a timeline of the
// journal with the command that restores each moment, repairs, the trash, what waits for approval, and who did it. It
// is HTML from templates; a script keeps it fresh, and everything works without it.
//
// # Safety
//
// Every reader of the address sees the state. Names of users, clients and keys are shown, and changes are
// made, only as viewer says: with the console's password; where none is configured, the page of an address
// that only this machine reaches shows names, and no page changes anything. A change is a POST from our own
// origin (http.CrossOriginProtection) within a session, whose cookie a script cannot read; its form says
// before what will happen, and the audit log has it after. Wrong passwords are as slow as the console's, and
// count together with them. No page frames this one, and it runs and loads nothing but its own two files
// (guard.go).
//
// Names are hostile input: they reach HTML only by html/template, and the script inserts only such HTML.
//
// # Cost
//
// state.go asks the proxy at most once a refresh, for all readers together, with a time limit, for bounded
// lists: nothing grows with the number of sessions, entries of the trash, or lines of the log. A preview of a
// moment reads the journal: preview.go makes one at a time, and rests after it. Without a reader nothing runs here. The history of hits (chart.go) is the proxy's, of a fixed size for each rule.
//
// # Concurrency
//
// Page is safe for concurrent use. Each open page holds one goroutine, of its request for /stream; their
// number is bounded.
package page
