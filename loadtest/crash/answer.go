package main

import (
	"strings"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

// refusals are the prefixes of errors after which nothing has been executed.
var refusals = []string{
	"NODURABLE", "EXECABORT", "LOADING", "READONLY", "NOREPLICAS", "MISCONF", "MASTERDOWN", "BUSY",
	"UNBLOCKED",
}

// outcome is the command's outcome according to an error reply.
func outcome(e harness.ErrReply) (o history.Outcome, known bool) {
	text := string(e)
	code, _, _ := strings.Cut(text, " ")
	switch {
	case code == "UNCONFIRMED":
		return history.Unconfirmed, true
	case code == "UPSTREAM" && strings.Contains(text, "was not executed"):
		return history.Refused, true
	case code == "UPSTREAM":
		return history.Unknown, true
	}
	for _, r := range refusals {
		if code == r {
			return history.Refused, true
		}
	}
	return history.Unknown, false
}
