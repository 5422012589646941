package policy

import "errors"

// The lexer of Lua 5.1, as far as finding calls needs it. It follows the server's llex.c byte by
// byte: where the two read a source differently, code could hide. A source that llex.c refuses is
// refused here too, or read as something that is not a call; the server does not run it either.

// tokenKind is the kind of a token.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenKeyword
	tokenString
	tokenNumber
	tokenSymbol
)

// token is one token. text is a name, a keyword or symbol, or the value of a string.
type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) is(kind tokenKind, text string) bool { return t.kind == kind && t.text == text }

func (t token) symbol(text string) bool { return t.is(tokenSymbol, text) }

var luaKeywords = map[string]bool{
	"and": true, "break": true, "do": true, "else": true, "elseif": true, "end": true,
	"false": true, "for": true, "function": true, "if": true, "in": true, "local": true,
	"nil": true, "not": true, "or": true, "repeat": true, "return": true, "then": true,
	"true": true, "until": true, "while": true,
}

// The lexer's errors.
var (
	errLuaString  = errors.New("an unfinished string")
	errLuaComment = errors.New("an unfinished comment")
	errLuaEscape  = errors.New("an escape sequence beyond 255")
	errLuaBracket = errors.New("a long bracket that is none")

	// Outside strings, llex.c takes a NUL byte for a dot or for the e of a number.
	errLuaNUL = errors.New("a NUL byte")
)

// lexLua takes a source apart. The last token is tokenEnd.
func lexLua(src string) ([]token, error) {
	l := lexer{src: src, line: 1}
	tokens := make([]token, 0, len(src)/4+1)
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		if t.kind == tokenEnd {
			return tokens, nil
		}
	}
}

type lexer struct {
	src  string
	at   int
	line int
}

// peek returns the byte n places on, or -1 at the end.
func (l *lexer) peek(n int) int {
	if l.at+n < len(l.src) {
		return int(l.src[l.at+n])
	}
	return -1
}

func (l *lexer) next() (token, error) {
	for {
		switch c := l.peek(0); {
		case c < 0:
			return token{tokenEnd, "", l.line}, nil
		case c == '\n' || c == '\r':
			l.newline()
		case c == ' ' || c == '\t' || c == '\v' || c == '\f':
			l.at++
		case c == '-' && l.peek(1) == '-':
			if err := l.comment(); err != nil {
				return token{}, err
			}
		case c == '"' || c == '\'':
			return l.quoted(byte(c))
		case c == '[' && (l.peek(1) == '[' || l.peek(1) == '='):
			level := l.longBracket()
			if level < 0 {
				return token{}, errLuaBracket
			}
			return l.longString(level)
		case isDigit(c) || c == '.' && isDigit(l.peek(1)):
			return l.number(), nil
		case isLetter(c):
			return l.name(), nil
		case c == 0:
			return token{}, errLuaNUL
		default:
			return l.operator(), nil
		}
	}
}

// newline takes \n, \r, \r\n or \n\r as one.
func (l *lexer) newline() {
	first := l.peek(0)
	l.at++
	if c := l.peek(0); (c == '\n' || c == '\r') && c != first {
		l.at++
	}
	l.line++
}

// longBracket reads [[, [=[ ... and returns the number of =, or -1 if there is no long bracket.
func (l *lexer) longBracket() int {
	level := 0
	for l.peek(1+level) == '=' {
		level++
	}
	if l.peek(1+level) != '[' {
		return -1
	}
	l.at += 2 + level
	return level
}

// longString reads up to the closing bracket of that level. A newline right after the opening one
// is not part of the string.
func (l *lexer) longString(level int) (token, error) {
	t := token{tokenString, "", l.line}
	if c := l.peek(0); c == '\n' || c == '\r' {
		l.newline()
	}
	var text []byte
	for {
		switch c := l.peek(0); {
		case c < 0:
			return t, errLuaString
		case c == ']' && l.closes(level):
			l.at += 2 + level
			t.text = string(text)
			return t, nil
		case c == '\n' || c == '\r':
			l.newline()
			text = append(text, '\n')
		default:
			l.at++
			text = append(text, byte(c))
		}
	}
}

func (l *lexer) closes(level int) bool {
	for i := range level {
		if l.peek(1+i) != '=' {
			return false
		}
	}
	return l.peek(1+level) == ']'
}

func (l *lexer) comment() error {
	l.at += 2
	if l.peek(0) == '[' {
		if level := l.longBracket(); level >= 0 {
			if _, err := l.longString(level); err != nil {
				return errLuaComment
			}
			return nil
		}
	}
	for c := l.peek(0); c >= 0 && c != '\n' && c != '\r'; c = l.peek(0) {
		l.at++
	}
	return nil
}

// quoted reads a string in quotes and decodes its escapes.
func (l *lexer) quoted(quote byte) (token, error) {
	t := token{tokenString, "", l.line}
	l.at++
	var text []byte
	for {
		switch c := l.peek(0); {
		case c < 0 || c == '\n' || c == '\r':
			return t, errLuaString
		case c == int(quote):
			l.at++
			t.text = string(text)
			return t, nil
		case c == '\\':
			b, ok, err := l.escape()
			if err != nil {
				return t, err
			}
			if ok {
				text = append(text, b)
			}
		default:
			l.at++
			text = append(text, byte(c))
		}
	}
}

// luaEscapes are the escapes with a meaning of their own; any other byte stands for itself.
var luaEscapes = map[int]byte{
	'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v',
}

// escape reads from a backslash on. ok is false at the end of the source.
func (l *lexer) escape() (b byte, ok bool, err error) {
	l.at++
	c := l.peek(0)
	switch {
	case c < 0:
		return 0, false, nil
	case c == '\n' || c == '\r':
		l.newline()
		return '\n', true, nil
	case isDigit(c):
		n := 0
		for i := 0; i < 3 && isDigit(l.peek(0)); i++ {
			n = n*10 + l.peek(0) - '0'
			l.at++
		}
		if n > 255 {
			return 0, false, errLuaEscape
		}
		return byte(n), true, nil
	}
	l.at++
	if special, found := luaEscapes[c]; found {
		return special, true, nil
	}
	return byte(c), true, nil
}

// number reads text that may be a number, without checking that it is one.
func (l *lexer) number() token {
	from := l.at
	for isDigit(l.peek(0)) || l.peek(0) == '.' {
		l.at++
	}
	if c := l.peek(0); c == 'e' || c == 'E' {
		if l.at++; l.peek(0) == '+' || l.peek(0) == '-' {
			l.at++
		}
	}
	for isLetter(l.peek(0)) || isDigit(l.peek(0)) {
		l.at++
	}
	return token{tokenNumber, l.src[from:l.at], l.line}
}

func (l *lexer) name() token {
	from := l.at
	for isLetter(l.peek(0)) || isDigit(l.peek(0)) {
		l.at++
	}
	t := token{tokenName, l.src[from:l.at], l.line}
	if luaKeywords[t.text] {
		t.kind = tokenKeyword
	}
	return t
}

// operator reads a symbol of one to three bytes.
func (l *lexer) operator() token {
	size := 1
	c, next := l.peek(0), l.peek(1)
	switch {
	case c == '.' && next == '.' && l.peek(2) == '.':
		size = 3
	case c == '.' && next == '.', next == '=' && (c == '=' || c == '<' || c == '>' || c == '~'):
		size = 2
	}
	l.at += size
	return token{tokenSymbol, l.src[l.at-size : l.at], l.line}
}

func isDigit(c int) bool { return '0' <= c && c <= '9' }

// isLetter is llex.c's isalpha in the C locale, in which the server runs it, with _.
func isLetter(c int) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}
