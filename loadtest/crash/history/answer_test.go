package history

import "testing"

func TestOutcomeOf(t *testing.T) {
	tests := []struct {
		text  string
		want  Outcome
		known bool
	}{
		{"UNCONFIRMED executed, but not proven durable within 500ms", Unconfirmed, true},
		{"NODURABLE too few replicas", Refused, true},
		{"UPSTREAM the link to h:1 broke (EOF); the command was not executed; it is safe",
			Refused, true},
		{"UPSTREAM the link to h:1 broke (EOF); the command may have been executed; check",
			Unknown, true},
		{"EXECABORT Transaction discarded because of previous errors.", Refused, true},
		{"ERR unknown command", Unknown, false},
		{"WRONGTYPE Operation against a key", Unknown, false},
	}
	for _, tt := range tests {
		got, known := OutcomeOf(tt.text)
		if got != tt.want || known != tt.known {
			t.Errorf("%s: %v, %v", tt.text, got, known)
		}
	}
}
