package resp

import "bytes"

// splitter splits inline commands. It reuses the memory of a line's words and of unescaped words.
type splitter struct {
	args [][]byte
	text []byte
}

// split makes s.args the words of line, an inline command without its end, as the server's
// sdssplitargs (sds.c) does. Words stand between blanks. In double quotes \n \r \t \b \a and \xHH
// are escapes and a backslash takes anything else literally; in single quotes only \' is an escape.
// Where the dialect does not glue quotes, a closing one must be followed by a blank or by the end.
// A NUL ends the line. It returns false for "Protocol error: unbalanced quotes in request". A line
// of blanks has no words. Words without escapes or quotes alias line.
func (s *splitter) split(line []byte, d Dialect) bool {
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
		for i < len(line) && !endsWord(line[i]) && !d.changes(line[i]) {
			i++
		}
		if i == len(line) || endsWord(line[i]) {
			s.args = append(s.args, line[start:i:i])
			continue
		}
		if cap(s.text) < len(line) { // unescaping only shortens, so all words fit
			s.text = append(make([]byte, 0, len(line)), s.text...)
		}
		from := len(s.text)
		s.text = append(s.text, line[start:i]...)
		var ok bool
		if i, ok = s.word(line, i, d); !ok {
			return false
		}
		s.args = append(s.args, s.text[from:len(s.text):len(s.text)])
	}
}

// word appends the rest of a word, from line[i] on, to s.text and returns its end.
func (s *splitter) word(line []byte, i int, d Dialect) (end int, ok bool) {
	for i < len(line) && !endsWord(line[i]) {
		c := line[i]
		if c != '"' && c != '\'' {
			s.put(c, d)
			i++
			continue
		}
		if i, ok = s.unquote(line, i, d); !ok {
			return i, false
		}
		if d&GluedQuotes == 0 {
			return i, i == len(line) || isSpace(line[i])
		}
	}
	return i, true
}

// unquote appends the quoted text that begins at line[i] to s.text and returns its end.
func (s *splitter) unquote(line []byte, i int, d Dialect) (end int, ok bool) {
	quote := line[i]
	for i++; i < len(line); {
		c := line[i]
		if c == quote {
			return i + 1, true
		}
		n := 1
		if c == '\\' && (d&LastBackslash == 0 || i+2 < len(line)) {
			c, n = unescape(line[i:], quote)
		}
		if n == 4 {
			s.text = append(s.text, c) // a byte that is written as \xHH is never lost
		} else {
			s.put(c, d)
		}
		i += n
	}
	return i, false
}

// put appends c, unless the server loses it.
func (s *splitter) put(c byte, d Dialect) {
	if c != 0xff || d&LosesFF == 0 {
		s.text = append(s.text, c)
	}
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

// isSpace is C's isspace in Redis's locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

// endsWord reports whether c ends an unquoted word. Vertical tab and form feed do not, although
// they are skipped between words: sdssplitargs has two different checks.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
