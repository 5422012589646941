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
	var out strings.Builder
	err := appendReply(&out, r)
	return out.String(), err
}

func appendReply(out *strings.Builder, r *bufio.Reader) error {
	line, err := r.ReadString('\n')
	out.WriteString(line)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	children := 0
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '=', '!':
		if n < 0 {
			return nil
		}
		body := make([]byte, n+2)
		k, err := io.ReadFull(r, body)
		out.Write(body[:k])
		return err
	case '*', '~', '>':
		children = n
	case '%':
		children = 2 * n
	case '|':
		children = 2*n + 1
	default:
		return fmt.Errorf("unknown type in %q", line)
	}
	for range children {
		if err := appendReply(out, r); err != nil {
			return err
		}
	}
	return nil
}
