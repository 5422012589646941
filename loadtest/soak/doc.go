// Command soak shows that the proxy's memory follows its live clients and nothing else.
//
//	go run ./loadtest/soak [--churn 100000] [--idle 10000] [--limit 60]        (make soak)
//
// Two parts, each bounded in count. The churn opens and closes connections as badly as real clients
// do: after a command, in the middle of one, inside MULTI, while blocked, subscribed, with unread
// replies, with a reset instead of a close. Afterwards the proxy's resident memory must be the same
// as after the first third, its descriptors and the server's clients the same as at the start: no
// session, link or buffer is left behind. The idle part holds many connections that have each done
// one command; resident memory must stay under the limit.
//
// The figures go to standard output and into loadtest/RESULTS.md. Exit code 1 when a bound is
// exceeded.
package main
