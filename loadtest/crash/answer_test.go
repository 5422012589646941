package main

import (
	"testing"

	"holdfast/loadtest/crash/history"
	"holdfast/loadtest/harness"
)

func TestOutcome(t *testing.T) {
	tests := []struct {
		text  string
		want  history.Outcome
		known bool
	}{
		{"UNCONFIRMED executed, but not proven durable within 500ms", history.Unconfirmed, true},
		{"NODURABLE too few replicas", history.Refused, true},
		{"UPSTREAM the link to h:1 broke (EOF); the command was not executed; it is safe",
			history.Refused, true},
		{"UPSTREAM the link to h:1 broke (EOF); the command may have been executed; check",
			history.Unknown, true},
		{"EXECABORT Transaction discarded because of previous errors.", history.Refused, true},
		{"ERR unknown command", history.Unknown, false},
		{"WRONGTYPE Operation against a key", history.Unknown, false},
	}
	for _, tt := range tests {
		got, known := outcome(harness.ErrReply(tt.text))
		if got != tt.want || known != tt.known {
			t.Errorf("%s: %v, %v", tt.text, got, known)
		}
	}
}
