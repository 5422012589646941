package trash

import "fmt"

// The errors that clients see. Each is one line: its code, the reason, and what to do.

// textMissing answers a command of a trash rule when no trash is possible.
func textMissing(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and there is none: "+
		"%s; nothing was executed; ask the operator", command, rule, why)
}

// textFull answers a flush for which no reserved database is free.
func textFull(command, rule string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and the trash is "+
		"full; nothing was executed; the operator makes room with PURGE; a shorter keep, a limit on the "+
		"rule or more databases (trash.databases) prevent it", command, rule)
}

// textFailed answers a command whose move to the trash the server refused.
func textFailed(command, rule, why string) string {
	return fmt.Sprintf("DENIED '%s' goes to the trash by rule '%s' of the proxy, and the server "+
		"refused that to the proxy's own user: %s; nothing was executed; ask the operator",
		command, rule, why)
}
