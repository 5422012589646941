package policy

// maxEffort bounds how often a token is read, once for each call around it. It keeps the time of a
// scan proportional to the source, whatever the source is.
const maxEffort = 8

// arguments reads the arguments of a call from its opening parenthesis on. ok is false if there is
// no closing one, or finding it takes too long.
func (s *scanner) arguments(open int) (call Call, ok bool) {
	depth, from, functions := 0, open+1, false
	for i := open; i < len(s.tokens); i++ {
		t := s.tokens[i]
		if s.effort--; s.effort < 0 {
			return call, false
		}
		switch {
		case t.is(tokenKeyword, "function"):
			functions = true
		case t.symbol("(") || t.symbol("[") || t.symbol("{"):
			depth++
		case t.symbol(")") || t.symbol("]") || t.symbol("}"):
			depth--
		}
		last := depth == 0
		if !last && (depth > 1 || !t.symbol(",")) {
			continue
		}
		call.Args = append(call.Args, s.argument(s.tokens[from:i], last))
		if !last {
			from = i + 1
			continue
		}
		call.Open = s.mayBeMany(call.Args[len(call.Args)-1], s.at(i-1))
		if functions { // commas in its body are not between arguments
			call.Args, call.Open = call.Args[:1], true
		}
		return call, true
	}
	return call, false
}

// mayBeMany reports whether the last argument can stand for any number of them: a function's
// results, or dots. end is its last token.
func (s *scanner) mayBeMany(arg ScriptArg, end token) bool {
	if arg.Kind != ArgUnknown {
		return false
	}
	return end.symbol(")") || end.symbol("}") || end.symbol("...") || end.kind == tokenString
}

// argument reads one argument.
func (s *scanner) argument(tokens []token, last bool) ScriptArg {
	switch len(tokens) {
	case 1:
		t := tokens[0]
		if t.kind == tokenString || t.kind == tokenNumber && isPlain(t.text) {
			return ScriptArg{Kind: ArgLiteral, Text: t.text}
		} else if t.kind == tokenName {
			return s.locals[t.text]
		}
	case 2:
		if t := tokens[1]; tokens[0].symbol("-") && t.kind == tokenNumber && isPlain(t.text) &&
			t.text != "0" {
			return ScriptArg{Kind: ArgLiteral, Text: "-" + t.text}
		}
	case 4:
		return s.fromRequest(tokens, last)
	}
	return ScriptArg{}
}

// fromRequest reads KEYS[1], ARGV[1], unpack(KEYS) and unpack(ARGV).
func (s *scanner) fromRequest(t []token, last bool) ScriptArg {
	if !s.constant {
		return ScriptArg{}
	}
	kind := ArgUnknown
	switch {
	case t[1].symbol("[") && t[3].symbol("]") && t[2].kind == tokenNumber && isPlain(t[2].text):
		n, _ := parseCount([]byte(t[2].text))
		if t[0].is(tokenName, "KEYS") {
			kind = ArgKey
		} else if t[0].is(tokenName, "ARGV") {
			kind = ArgArgv
		}
		if n > 0 && kind != ArgUnknown {
			return ScriptArg{Kind: kind, Index: n}
		}
		return ScriptArg{}
	case t[0].is(tokenName, "unpack") && t[1].symbol("(") && t[3].symbol(")") && last:
		if t[2].is(tokenName, "KEYS") {
			kind = ArgAllKeys
		} else if t[2].is(tokenName, "ARGV") {
			kind = ArgAllArgv
		}
	}
	return ScriptArg{Kind: kind}
}

// isPlain reports whether Lua prints the number as it is written.
func isPlain(text string) bool {
	_, ok := parseCount([]byte(text))
	return ok
}

// readers holds the functions that look at a table and leave it as it is.
var readers = map[string]bool{"unpack": true, "ipairs": true, "pairs": true}

// findLocals checks that KEYS and ARGV keep the request's values, and finds local variables that
// hold one known value, as in "local key = KEYS[1]".
//
// It proves both by spelling, as with redis: KEYS and ARGV stay if they appear only as KEYS[...]
// inside expressions, as #KEYS and as the only argument of a reader (reads), and every mention of a
// reader is a call. A local keeps its value if its name is declared once and otherwise appears only
// inside expressions: no other variable of that spelling is then ever assigned.
func (s *scanner) findLocals() {
	s.constant, s.locals = true, make(map[string]ScriptArg)
	values := s.declarations()
	var brackets []int // the places of open brackets
	keyword := -1      // the place of the last keyword that is not part of an expression
	parameters := false
	for i, t := range s.tokens {
		switch {
		case t.kind == tokenKeyword && !valueWords[t.text]:
			keyword = i
			parameters = t.text == "function"
		case t.symbol("(") || t.symbol("[") || t.symbol("{"):
			brackets = append(brackets, i)
		case t.symbol(")") || t.symbol("]") || t.symbol("}"):
			brackets, parameters = brackets[:max(0, len(brackets)-1)], false
		case t.kind == tokenName && !s.isField(i):
			n := len(brackets)
			s.mention(i, values, parameters, n > 0 && brackets[n-1] > keyword)
		}
	}
	for name, at := range values {
		if at > 0 {
			s.locals[name] = s.argument(s.tokens[at:s.valueEnd(at)], false)
		}
	}
}

// mention judges the name at i. bracketed reports that it stands in brackets with nothing but an
// expression around it.
func (s *scanner) mention(i int, values map[string]int, parameter, bracketed bool) {
	name, before := s.at(i).text, s.at(i-1)
	read := !parameter && (before.symbol(",") && bracketed || beginsExpression(before))
	at, declared := values[name]
	switch {
	case declared && !read && at != i+2:
		values[name] = -1
	case readers[name]:
		if !s.at(i+1).symbol("(") || before.is(tokenKeyword, "function") {
			s.constant = false
		}
	case name == "KEYS" || name == "ARGV":
		s.constant = s.constant && (before.symbol("#") || read && s.at(i+1).symbol("[") ||
			s.at(i+1).symbol(")") && before.symbol("(") && s.reads(i-2))
	}
}

// reads reports whether the reader at i lets nothing of its argument escape: ipairs and pairs also
// return the table itself, which only a for keeps to itself.
func (s *scanner) reads(i int) bool {
	if name := s.at(i).text; name == "unpack" || !readers[name] {
		return readers[name] && !s.isField(i)
	}
	return s.at(i-1).is(tokenKeyword, "in") && s.at(i+4).is(tokenKeyword, "do")
}

// declarations returns the places of the values in "local NAME = VALUE", or -1 for names that are
// declared twice.
func (s *scanner) declarations() map[string]int {
	values := make(map[string]int)
	for i := range s.tokens {
		if !s.at(i).is(tokenKeyword, "local") || s.at(i+1).kind != tokenName ||
			!s.at(i+2).symbol("=") || s.valueEnd(i+3) == 0 {
			continue
		}
		name, at := s.at(i+1).text, i+3
		if values[name] != 0 {
			at = -1
		}
		values[name] = at
	}
	return values
}

// valueEnd returns the end of a value that is a literal, KEYS[n] or ARGV[n], if the statement ends
// there too, or 0.
func (s *scanner) valueEnd(at int) int {
	end := at + 1
	switch t := s.at(at); {
	case t.is(tokenName, "KEYS") || t.is(tokenName, "ARGV"):
		end = at + 4
	case t.kind != tokenString && t.kind != tokenNumber:
		return 0
	}
	if end >= len(s.tokens) || !s.endsStatement(end) {
		return 0
	}
	return end
}

// valueWords holds the keywords that are parts of expressions.
var valueWords = map[string]bool{
	"nil": true, "true": true, "false": true, "not": true, "and": true, "or": true,
}

// beginsExpression reports whether an expression follows the token, and not the target of an
// assignment. After a comma it may be either; only brackets decide.
func beginsExpression(t token) bool {
	switch {
	case t.kind == tokenKeyword:
		switch t.text {
		case "return", "if", "elseif", "while", "until", "in", "and", "or", "not":
			return true
		}
		return false
	case t.kind != tokenSymbol:
		return false
	}
	switch t.text {
	case ")", "]", "}", ";", "...", ",":
		return false
	}
	return true
}
