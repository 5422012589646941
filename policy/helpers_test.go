package policy

import "strings"

// split makes a request of a line: words at spaces, with "" for an empty one and \0 for a NUL.
func split(line string) [][]byte {
	var args [][]byte
	for _, word := range strings.Fields(line) {
		if word == `""` {
			word = ""
		}
		args = append(args, []byte(strings.ReplaceAll(word, `\0`, "\x00")))
	}
	return args
}
