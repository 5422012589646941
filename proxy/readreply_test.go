package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readReply reads one whole reply by a grammar of its own, so that a mistake of the scanner under
// test cannot hide itself.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	children := 0
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return line, nil
	case '$', '=', '!':
		if n < 0 {
			return line, nil
		}
		body := make([]byte, n+2)
		k, err := io.ReadFull(r, body)
		return line + string(body[:k]), err
	case '*', '~', '>':
		children = n
	case '%':
		children = 2 * n
	case '|':
		children = 2*n + 1
	default:
		return line, fmt.Errorf("unknown type in %q", line)
	}
	out := line
	for range children {
		s, err := readReply(r)
		out += s
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
