package history

import "strings"

// refusals are the codes of errors after which nothing has been executed.
var refusals = []string{
	"NODURABLE", "EXECABORT", "LOADING", "READONLY", "NOREPLICAS", "MISCONF", "MASTERDOWN", "BUSY",
	"UNBLOCKED",
}

// OutcomeOf is a command's outcome according to an error reply. known: the load may get such an error.
func OutcomeOf(text string) (o Outcome, known bool) {
	code, _, _ := strings.Cut(text, " ")
	switch {
	case code == "UNCONFIRMED":
		return Unconfirmed, true
	case code == "UPSTREAM" && strings.Contains(text, "was not executed"):
		return Refused, true
	case code == "UPSTREAM":
		return Unknown, true
	}
	for _, r := range refusals {
		if code == r {
			return Refused, true
		}
	}
	return Unknown, false
}
