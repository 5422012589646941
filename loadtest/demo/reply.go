package main

import (
	"bytes"
	"strconv"
)

// cutReply returns the first line of the reply at the start of b, and the size of the whole; 0
// while it is incomplete. It knows one-line replies and strings.
func cutReply(b []byte) (line []byte, size int) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return nil, 0
	}
	size = end + 2
	if b[0] == '$' {
		if n, _ := strconv.Atoi(string(b[1:end])); n >= 0 {
			size += n + 2
		}
	}
	if size > len(b) {
		return nil, 0
	}
	return b[:end], size
}
