package resp

import (
	"bytes"
	"fmt"
)

// maxLength bounds a length, a count, and the number of outstanding elements when another aggregate
// begins, so that no counter can overflow. No server comes near it.
const maxLength = 1e18

// the position of a ReplyScanner between two calls
type replyState uint8

const (
	atType   replyState = iota // before an element's type byte
	inLine                     // in the text of a line
	inNumber                   // in a length or a count
	atLF                       // between the CR and the LF of a length or a count
	inBulk                     // in a bulk, left bytes of it and its CR and LF to come
)

// ReplyScanner measures one reply after the other in a stream, at any split, keeping only
// counters: replies of any size stream through. It knows all types of RESP2 and RESP3. An
// attribute precedes a reply and belongs to it. Streamed strings and aggregates, which no server
// sends, are malformed. The zero value is ready.
//
// A line ends at its first CR LF; a lone CR or LF within it, which a module can cause, is text.
type ReplyScanner struct {
	pending int64      // elements still to come, the one in hand included; 0 between replies
	num     int64      // the length or count being read, or the bytes of a bulk still to come
	state   replyState // where in the element we are
	elem    byte       // type of the element in hand
	typ     byte       // type of the reply
	digits  uint8      // digits of num read so far
	minus   bool       // num began with a minus sign
	cr      bool       // the last byte of the line was CR
}

// Type is the first type byte of the reply that Scan is in the middle of or has just finished,
// attributes skipped: '+', '-', '>' and so on. It is 0 before the first byte.
func (s *ReplyScanner) Type() byte { return s.typ }

// Started reports whether bytes of an unfinished reply were consumed.
func (s *ReplyScanner) Started() bool { return s.pending > 0 }

// Reset forgets the position.
func (s *ReplyScanner) Reset() { *s = ReplyScanner{} }

// Scan consumes bytes of the current reply from p: n bytes belong to it, and done reports that it
// ended at p[n-1]. Without done all of p was consumed. Call again with p[n:] for the next reply.
// The error wraps ErrMalformed; the connection must be closed then.
func (s *ReplyScanner) Scan(p []byte) (n int, done bool, err error) {
	if s.pending == 0 {
		if len(p) == 0 {
			return 0, false, nil
		}
		if n = wholeLeaf(p); n > 0 {
			s.typ = p[0]
			return n, true, nil
		}
		s.pending, s.typ = 1, 0
	}
	for n < len(p) {
		switch s.state {
		case atType:
			n, err = s.element(p, n)
		case inLine:
			n += s.line(p[n:])
		case inNumber:
			err = s.digit(p[n])
			n++
		case atLF:
			err = s.lengthEnd(p[n])
			n++
		case inBulk:
			var m int
			m, err = s.bulk(p[n:])
			n += m
		}
		if err != nil {
			return n, false, err
		}
		if s.pending == 0 {
			return n, true, nil
		}
	}
	return n, false, nil
}

// wholeLeaf returns the length of the element at the start of p if it is ordinary, whole and
// without children, as nearly all are. Other elements are read byte by byte.
func wholeLeaf(p []byte) int {
	switch p[0] {
	case '+', '-', ':', ',', '#', '_', '(':
		if i := bytes.IndexByte(p, '\n'); i > 0 && p[i-1] == '\r' {
			return i + 1
		}
	case '$', '!', '=':
		size, start := shortNumber(p, 1)
		if start == 0 && string(p[:min(len(p), 5)]) == "$-1\r\n" {
			return 5
		}
		if end := start + size; start > 0 && end+1 < len(p) && p[end] == '\r' && p[end+1] == '\n' {
			return end + 2
		}
	}
	return 0
}

// element takes the element at p[n], or its head, or at least its type byte, and returns the new
// position.
func (s *ReplyScanner) element(p []byte, n int) (int, error) {
	c := p[n]
	if size := wholeLeaf(p[n:]); size > 0 {
		s.setType(c)
		s.endElement()
		return n + size, nil
	}
	switch c {
	case '*', '%', '~', '>', '|':
		if count, end := shortNumber(p, n+1); end > 0 {
			s.setType(c)
			s.elem, s.num = c, int64(count)
			return end, s.enter()
		}
	}
	return n + 1, s.begin(c)
}

// setType makes c the type of the reply if it is the first type byte outside an attribute.
func (s *ReplyScanner) setType(c byte) {
	if s.typ == 0 && s.pending == 1 && c != '|' {
		s.typ = c
	}
}

// begin takes the type byte of an element.
func (s *ReplyScanner) begin(c byte) error {
	switch c {
	case '+', '-', ':', ',', '#', '_', '(':
		s.state, s.cr = inLine, false
	case '$', '!', '=', '*', '%', '~', '>', '|':
		s.state, s.num, s.digits, s.minus = inNumber, 0, 0, false
	default:
		return fmt.Errorf("%w: got %q, want a type", ErrMalformed, c)
	}
	s.elem = c
	s.setType(c)
	return nil
}

// line takes the text of a line.
func (s *ReplyScanner) line(p []byte) (n int) {
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			s.cr = p[len(p)-1] == '\r'
			return len(p)
		}
		n += i + 1
		if n >= 2 && p[n-2] == '\r' || n == 1 && s.cr {
			s.endElement()
			return n
		}
	}
	s.cr = false // p ends with LF
	return n
}

// digit takes a byte of a length or a count: of a number as parseInt reads it, or of the -1 of a
// RESP2 null.
func (s *ReplyScanner) digit(c byte) error {
	switch {
	case '0' <= c && c <= '9' && s.mayFollow(c):
		s.num = s.num*10 + int64(c-'0')
		s.digits++
		return nil
	case c == '-' && s.digits == 0 && !s.minus && (s.elem == '$' || s.elem == '*'):
		s.minus = true
		return nil
	case c == '\r' && s.digits > 0:
		s.state = atLF
		return nil
	}
	return fmt.Errorf("%w: got %q in the length of %q", ErrMalformed, c, s.elem)
}

func (s *ReplyScanner) mayFollow(digit byte) bool {
	if s.minus {
		return digit == '1' && s.digits == 0
	}
	return s.digits == 0 || 0 < s.num && s.num <= maxLength/10
}

// lengthEnd takes the LF of a length or a count.
func (s *ReplyScanner) lengthEnd(c byte) error {
	if c != '\n' {
		return fmt.Errorf("%w: got %q, want the LF of a length", ErrMalformed, c)
	}
	if s.minus {
		s.endElement()
		return nil
	}
	return s.enter()
}

// enter begins the bulk or the aggregate whose length was read.
func (s *ReplyScanner) enter() error {
	if s.num > maxLength || s.pending > maxLength {
		return fmt.Errorf("%w: %q of length %d", ErrMalformed, s.elem, s.num)
	}
	s.state = atType
	switch s.elem {
	case '$', '!', '=':
		s.state = inBulk
		s.num += 2
	case '|':
		s.pending += 2 * s.num // and the element that it belongs to is still to come
	case '%':
		s.pending += 2*s.num - 1
	default:
		s.pending += s.num - 1
	}
	return nil
}

// bulk takes bytes of a bulk and of its CR and LF.
func (s *ReplyScanner) bulk(p []byte) (n int, err error) {
	if s.num > 2 {
		n = int(min(s.num-2, int64(len(p))))
		s.num -= int64(n)
	}
	for ; n < len(p); n++ {
		if want := "\n\r"[s.num-1]; p[n] != want {
			return n, fmt.Errorf("%w: got %q, want %q after a bulk", ErrMalformed, p[n], want)
		}
		if s.num--; s.num == 0 {
			s.endElement()
			return n + 1, nil
		}
	}
	return n, nil
}

func (s *ReplyScanner) endElement() {
	s.state = atType
	s.pending--
}
