package admin

import (
	"fmt"
	"strings"
)

// ShellWord is a word as a shell takes it.
func ShellWord(s string) string {
	plain := s != "" && !strings.HasPrefix(s, "-")
	for _, r := range s {
		plain = plain && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("/._-+:,@%", r))
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// RestoreCommand is the command that rebuilds the moment before an event of the journal in dir. timeline
// is given where the event is not on the present history; 0: it is.
func RestoreCommand(dir string, event, timeline int) string {
	of := ""
	if timeline != 0 {
		of = fmt.Sprintf(" --timeline %d", timeline)
	}
	return fmt.Sprintf("proxy restore --dir %s --event %d%s --target ADDRESS", ShellWord(dir), event, of)
}
