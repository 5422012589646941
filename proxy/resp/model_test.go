package resp

import (
	"bytes"
	"strconv"
	"strings"
)

// The models are second implementations for the fuzz targets: written from the description, slow,
// one byte at a time where that is simpler, and sharing no code with what they check.

// modelCommands reads a whole stream of commands.
func modelCommands(p []byte, lim *Limits) (r reading) {
	for len(p) > 0 {
		var n int
		var words []string
		var refusal string
		var lax bool
		if p[0] == '*' {
			n, words, lax, refusal = modelMultibulk(p, lim)
		} else {
			n, words, refusal = modelInline(p, lim)
			lax = true
		}
		if refusal != "" {
			r.refusal = "Protocol error: " + refusal
			return r
		}
		if n == 0 {
			break
		}
		p = p[n:]
		if len(words) == 0 {
			continue
		}
		for i := range words {
			words[i] = strconv.Quote(words[i])
		}
		if lax {
			words = append(words, "(re-encode)")
		}
		r.commands = append(r.commands, strings.Join(words, " "))
	}
	r.rest = len(p)
	return r
}

// modelLine returns the index of delim, or -1 and whether the line is too big.
func modelLine(p []byte, delim byte, lim *Limits) (end int, tooBig bool) {
	nulEnds := delim == '\n' || lim.Dialect&NULInLines == 0
	for i := 0; i <= lim.maxInline(); i++ {
		if i == len(p) {
			return -1, false
		}
		if p[i] == delim {
			return i, false
		}
		if p[i] == 0 && nulEnds {
			break
		}
	}
	return -1, len(p) > lim.maxInline()
}

func modelInline(p []byte, lim *Limits) (n int, words []string, refusal string) {
	end, tooBig := modelLine(p, '\n', lim)
	if tooBig {
		return 0, nil, "too big inline request"
	}
	if end < 0 {
		return 0, nil, ""
	}
	words, ok := modelWords(string(bytes.TrimSuffix(p[:end], []byte("\r"))), lim.Dialect)
	if !ok {
		return 0, nil, "unbalanced quotes in request"
	}
	return end + 1, words, ""
}

func modelMultibulk(p []byte, lim *Limits) (n int, words []string, lax bool, refusal string) {
	end, tooBig := modelLine(p, '\r', lim)
	if tooBig {
		return 0, nil, false, "too big mbulk count string"
	}
	if end < 0 || end+1 == len(p) {
		return 0, nil, false, ""
	}
	strict := lim.Dialect&StrictCRLF != 0
	if strict && p[end+1] != '\n' {
		return 0, nil, false, "invalid CRLF in request"
	}
	count, ok := modelNumber(p[1:end])
	if !ok || count > lim.maxArgs() && (!lim.Unauthenticated || count > 1<<31-1) {
		return 0, nil, false, "invalid multibulk length"
	}
	if count > 10 && lim.Unauthenticated {
		return 0, nil, false, "unauthenticated multibulk length"
	}
	lax = p[end+1] != '\n'
	n = end + 2
	for ; count > 0; count-- {
		end, tooBig := modelLine(p[n:], '\r', lim)
		if tooBig {
			return 0, nil, false, "too big bulk count string"
		}
		if end < 0 || n+end+1 == len(p) {
			return 0, nil, false, ""
		}
		if p[n] != '$' {
			c := strings.NewReplacer("\r", " ", "\n", " ").Replace(string(p[n : n+1]))
			return 0, nil, false, "expected '$', got '" + c + "'"
		}
		if strict && p[n+end+1] != '\n' {
			return 0, nil, false, "invalid CRLF in request"
		}
		size, ok := modelNumber(p[n+1 : n+end])
		if !ok || size < 0 || size > lim.maxBulk() {
			return 0, nil, false, "invalid bulk length"
		}
		if size > 16384 && lim.Unauthenticated {
			return 0, nil, false, "unauthenticated bulk length"
		}
		lax = lax || p[n+end+1] != '\n'
		n += end + 2
		if int(size)+2 > len(p)-n {
			return 0, nil, false, ""
		}
		words = append(words, string(p[n:n+int(size)]))
		n += int(size)
		if odd := string(p[n:n+2]) != "\r\n"; odd && strict {
			return 0, nil, false, "invalid CRLF in request"
		} else if odd {
			lax = true
		}
		n += 2
	}
	return n, words, lax, ""
}

func modelNumber(b []byte) (int64, bool) {
	v, err := strconv.ParseInt(string(b), 10, 64)
	return v, err == nil && strconv.FormatInt(v, 10) == string(b)
}

// modelWords splits an inline command.
func modelWords(line string, d Dialect) (words []string, ok bool) {
	const blanks = " \t\n\v\f\r"
	line, _, _ = strings.Cut(line, "\x00")
	for {
		line = strings.TrimLeft(line, blanks)
		if line == "" {
			return words, true
		}
		word := ""
		for line != "" && !strings.Contains(" \t\n\r", line[:1]) {
			c := line[:1]
			line = line[1:]
			if c != `"` && c != `'` {
				word += modelLost(c, d)
				continue
			}
			var text string
			if text, line, ok = modelQuoted(line, c, d); !ok {
				return nil, false
			}
			word += text
			if d&GluedQuotes == 0 && line != "" && !strings.Contains(blanks, line[:1]) {
				return nil, false
			}
			if d&GluedQuotes == 0 {
				break
			}
		}
		words = append(words, word)
	}
}

// modelQuoted reads a line behind an opening quote, and returns what follows the closing one.
func modelQuoted(line, quote string, d Dialect) (text, rest string, ok bool) {
	for line != "" && line[:1] != quote {
		c := line[:1]
		switch {
		case d&LastBackslash != 0 && len(line) == 2:
		case quote == "'" && strings.HasPrefix(line, `\'`):
			c, line = "'", line[1:]
		case quote == `"` && strings.HasPrefix(line, `\x`) && len(line) > 3:
			if v, err := strconv.ParseUint(line[2:4], 16, 8); err == nil {
				text, line = text+string([]byte{byte(v)}), line[4:]
				continue
			}
			c, line = "x", line[1:]
		case quote == `"` && line[0] == '\\' && len(line) > 1:
			c, line = line[1:2], line[1:]
			if j := strings.Index("nrtba", c); j >= 0 {
				c = "\n\r\t\b\a"[j : j+1]
			}
		}
		text, line = text+modelLost(c, d), line[1:]
	}
	if line == "" {
		return "", "", false
	}
	return text, line[1:], true
}

func modelLost(c string, d Dialect) string {
	if c == "\xff" && d&LosesFF != 0 {
		return ""
	}
	return c
}

// modelReply measures the reply at the start of p by recursion: its length and its type. n is 0
// when the reply is not whole, and bad says that it is malformed.
func modelReply(p []byte) (n int, typ byte, bad bool) {
	if len(p) == 0 {
		return 0, 0, false
	}
	switch p[0] {
	case '+', '-', ':', ',', '#', '_', '(':
		if i := bytes.Index(p, []byte("\r\n")); i > 0 {
			return i + 2, p[0], false
		}
		return 0, 0, false
	case '$', '!', '=', '*', '%', '~', '>', '|':
	default:
		return 0, 0, true
	}
	i := 1
	for i < len(p) && (p[i] == '-' || '0' <= p[i] && p[i] <= '9') {
		i++
	}
	// What is there of the number must be the start of one, even when its end has not come.
	count, ok := modelNumber(p[1:i])
	null := p[0] == '$' || p[0] == '*'
	switch text := string(p[1:i]); {
	case text == "", text == "-" && null, text == "-1" && null:
	case !ok, count < 0, count > 1e18+9:
		return 0, 0, true
	}
	if i == len(p) {
		return 0, 0, false
	}
	if !ok || p[i] != '\r' || i+1 < len(p) && p[i+1] != '\n' {
		return 0, 0, true
	}
	if i+1 >= len(p) {
		return 0, 0, false
	}
	n = i + 2
	if count == -1 {
		return n, p[0], false
	}
	if count > 1e18 {
		return 0, 0, true
	}
	children := int64(0)
	switch p[0] {
	case '$', '!', '=':
		for j, want := range []byte("\r\n") {
			if at := int64(n) + count + int64(j); at >= int64(len(p)) {
				return 0, 0, false
			} else if p[at] != want {
				return 0, 0, true
			}
		}
		return n + int(count) + 2, p[0], false
	case '%':
		children = 2 * count
	case '|':
		children = 2*count + 1
	default:
		children = count
	}
	typ = p[0]
	for ; children > 0; children-- {
		m, child, bad := modelReply(p[n:])
		if bad || m == 0 {
			return 0, 0, bad
		}
		n += m
		if typ == '|' && children == 1 {
			typ = child
		}
	}
	return n, typ, false
}
