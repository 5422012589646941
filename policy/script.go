package policy

// Script is what was found out about a piece of code that the server runs.
type Script struct {
	// Calls is the commands that the code calls by a literal name, in lower case ("flushall",
	// "config|set"), sorted and each once.
	Calls []string

	// Opaque is set when the code may call others as well; Reason says why.
	Opaque bool
	Reason string
}
