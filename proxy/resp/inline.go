package resp

import "bytes"

// splitter splits inline commands, and keeps the words of a line and the memory of unescaped ones, so
// that both are reused.
type splitter struct {
	args [][]byte
	text []byte
}

// split makes s.args the words of line, an inline command without its end, as Redis's sdssplitargs
// (sds.c) does. Words stand between blanks. In double quotes \n \r \t \b \a and \xHH are escapes
// and a backslash takes anything else literally; in single quotes only \' is an escape. A closing
// quote must be followed by a blank or by the end. A NUL ends the line. It returns false for
// "Protocol error: unbalanced quotes in request". A line of blanks has no words. Words without
// quotes alias line.
func (s *splitter) split(line []byte) bool {
	s.args, s.text = s.args[:0], s.text[:0]
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return true
		}
		start := i
		for i < len(line) && !endsWord(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || endsWord(line[i]) {
			s.args = append(s.args, line[start:i:i])
			continue
		}
		if cap(s.text) < len(line) { // unescaping only ever shortens: this is room for all words
			s.text = append(make([]byte, 0, len(line)), s.text...)
		}
		from := len(s.text)
		s.text = append(s.text, line[start:i]...)
		var ok bool
		if i, ok = s.unquote(line, i); !ok {
			return false
		}
		s.args = append(s.args, s.text[from:len(s.text):len(s.text)])
	}
}

// unquote appends the quoted text that begins at line[i] to s.text and returns where it ends.
func (s *splitter) unquote(line []byte, i int) (end int, ok bool) {
	quote := line[i]
	for i++; i < len(line); {
		c := line[i]
		if c == quote {
			i++
			return i, i == len(line) || isSpace(line[i])
		}
		n := 1
		if c == '\\' {
			c, n = unescape(line[i:], quote)
		}
		s.text = append(s.text, c)
		i += n
	}
	return i, false
}

// unescape reads the escape at the start of p, which is a backslash, and its length.
func unescape(p []byte, quote byte) (c byte, n int) {
	switch {
	case len(p) < 2 || quote == '\'' && p[1] != '\'':
		return '\\', 1
	case quote == '\'':
		return '\'', 2
	}
	switch p[1] {
	case 'x':
		if len(p) >= 4 && unhex(p[2]) < 16 && unhex(p[3]) < 16 {
			return unhex(p[2])<<4 | unhex(p[3]), 4
		}
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'a':
		return '\a', 2
	}
	return p[1], 2
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// isSpace is C's isspace in the locale in which Redis runs.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// endsWord reports whether c ends an unquoted word. Vertical tab and form feed do not, although
// they are skipped between words: sdssplitargs asks two different questions.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
