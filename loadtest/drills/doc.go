// Package drills plays the incidents of docs/recovery.md end to end, each against a real server
// behind a real proxy, with the command lines of the page itself: a [Runbook] is the page, and a
// drill may run only commands from its code blocks. The messages in them are compared with the
// output of proxy, server and commands, so that the page cannot show one that does not exist.
//
// The tests are the program. `make test` plays the short form on one server; `make drills` plays all
// of it on three and writes the table into loadtest/RESULTS.md.
package drills
