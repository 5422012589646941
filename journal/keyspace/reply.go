package keyspace

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"holdfast/journal/internal/wire"
)

const (
	// maxKept is the longest string of a reply that is kept if only its digest is wanted.
	maxKept  = 64 << 10
	maxItems = 1 << 24 // of an array
	maxLevel = 8
	// maxString is a little above a server's default limit (proto-max-bulk-len).
	maxString = 1 << 30
)

// sum stands for a string of more than maxKept bytes.
type sum struct {
	size int64
	hash [sha256.Size]byte
}

// reply reads one reply, with long strings as they are.
func (s *Server) reply() (v any, refused ReplyError, err error) { return s.read(maxString) }

// digested reads one reply, with a sum in the place of each long string.
func (s *Server) digested() (v any, refused ReplyError, err error) { return s.read(maxKept) }

// read reads one reply: a string, an int64, a []any, nil, and a sum in the place of a string that is
// longer than keep. An error reply is refused; err is for the connection alone.
func (s *Server) read(keep int64) (v any, refused ReplyError, err error) {
	v, err = s.value(keep, 0)
	if err != nil {
		return nil, "", s.wrap(err)
	}
	if refused, ok := v.(ReplyError); ok {
		return nil, refused, nil
	}
	return v, "", nil
}

func (s *Server) value(keep int64, level int) (any, error) {
	line, err := s.conn.Line()
	if err != nil {
		return nil, err
	}
	if line == "" || level > maxLevel {
		return nil, fmt.Errorf("%w: a reply begins with %q", wire.ErrProtocol, line)
	}
	switch line[0] {
	case '+':
		return line[1:], nil
	case '-':
		return ReplyError(line[1:]), nil
	case ':', '$', '*':
	default:
		return nil, fmt.Errorf("%w: a reply begins with %q", wire.ErrProtocol, line[:1])
	}
	n, err := strconv.ParseInt(line[1:], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", wire.ErrProtocol, line)
	}
	switch {
	case line[0] == ':':
		return n, nil
	case n == -1:
		return nil, nil
	case n < 0:
		return nil, fmt.Errorf("%w: %q", wire.ErrProtocol, line)
	case line[0] == '$':
		return s.text(n, keep)
	}
	return s.list(n, keep, level)
}

func (s *Server) list(n, keep int64, level int) (any, error) {
	if n > maxItems {
		return nil, fmt.Errorf("%w: an array of %d", wire.ErrProtocol, n)
	}
	out := make([]any, 0, min(n, 1024))
	for range n {
		v, err := s.value(keep, level+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// text reads a string of n bytes.
func (s *Server) text(n, keep int64) (any, error) {
	if n > math.MaxInt32 || keep >= maxString && n > maxString {
		return nil, fmt.Errorf("%w: a string of %d bytes", wire.ErrProtocol, n)
	}
	if n > keep {
		h := sha256.New()
		if err := s.copyText(h, n); err != nil {
			return nil, err
		}
		return sum{n, [sha256.Size]byte(h.Sum(nil))}, nil
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(s.conn.R, b); err != nil {
		return nil, midway(err)
	}
	if string(b[n:]) != "\r\n" {
		return nil, fmt.Errorf("%w: a string without its end", wire.ErrProtocol)
	}
	return string(b[:n]), nil
}

// copyText copies a string of n bytes and reads its end.
func (s *Server) copyText(to io.Writer, n int64) error {
	if _, err := io.CopyN(to, s.conn.R, n); err != nil {
		return midway(err)
	}
	var end [2]byte
	if _, err := io.ReadFull(s.conn.R, end[:]); err != nil {
		return midway(err)
	}
	if string(end[:]) != "\r\n" {
		return fmt.Errorf("%w: a string without its end", wire.ErrProtocol)
	}
	return nil
}

func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// textOf returns a reply's string, or "".
func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// countOf returns a reply's number, or 0.
func countOf(v any) int64 {
	n, _ := v.(int64)
	return n
}

// listOf returns a reply's list, or nil.
func listOf(v any) []any {
	l, _ := v.([]any)
	return l
}

// named reads a list of names and values, as XINFO gives them.
func named(v any) map[string]any {
	l := listOf(v)
	out := make(map[string]any, len(l)/2)
	for i := 0; i+1 < len(l); i += 2 {
		out[textOf(l[i])] = l[i+1]
	}
	return out
}
