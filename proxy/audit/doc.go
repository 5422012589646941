// Package audit records what rules and operators decide: the audit log, a file of JSON lines, and
// the rule log, lines about refused commands in the proxy's own log. Both take entries from event
// loops, which never wait for a disk or for the reader of a log; what does not fit is counted.
//
// It owns the file, its rotation, the search at its end, and the pace of the lines. It knows no
// connections: its callers make the entries, and Describe shows a command in them without values or
// secrets.
package audit
