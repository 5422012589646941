package policy

// maxEffort bounds how often a token is looked at, which it is once for each call around it. It
// keeps the time for a scan proportional to the source, whatever the source is.
const maxEffort = 8

// arguments reads the arguments of a call from its opening parenthesis on. ok is false if there
// is no closing one, or it takes too long to find.
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
		if t := tokens[0]; t.kind == tokenString || t.kind == tokenNumber && isPlain(t.text) {
			return ScriptArg{Kind: ArgLiteral, Text: t.text}
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

// constantTables reports whether it is certain that KEYS and ARGV stay what the request says: they
// appear only as KEYS[...] inside expressions, #KEYS, and as the only argument of a reader, and
// no reader is anything but called.
func (s *scanner) constantTables() bool {
	var brackets []int // where those that are open stand
	keyword := -1      // where the last one stands that is not part of an expression
	for i, t := range s.tokens {
		switch {
		case t.kind == tokenKeyword && !valueWords[t.text]:
			keyword = i
		case t.symbol("(") || t.symbol("[") || t.symbol("{"):
			brackets = append(brackets, i)
		case len(brackets) > 0 && (t.symbol(")") || t.symbol("]") || t.symbol("}")):
			brackets = brackets[:len(brackets)-1]
		case t.kind != tokenName || s.isField(i):
		case readers[t.text]:
			if !s.at(i+1).symbol("(") || s.at(i-1).is(tokenKeyword, "function") {
				return false
			}
		case t.text == "KEYS" || t.text == "ARGV":
			n := len(brackets)
			if !s.onlyRead(i, n > 0 && brackets[n-1] > keyword) {
				return false
			}
		}
	}
	return true
}

// valueWords holds the keywords that are parts of expressions.
var valueWords = map[string]bool{
	"nil": true, "true": true, "false": true, "not": true, "and": true, "or": true,
}

// onlyRead reports whether the mention of KEYS at i changes nothing. bracketed tells that it
// stands in brackets with nothing but an expression around it.
func (s *scanner) onlyRead(i int, bracketed bool) bool {
	before, after := s.at(i-1), s.at(i+1)
	switch {
	case before.symbol("#"):
		return true
	case after.symbol(")"):
		return before.symbol("(") && readers[s.at(i-2).text] && !s.isField(i-2)
	case !after.symbol("["):
		return false
	case before.symbol(","):
		return bracketed
	}
	return beginsExpression(before)
}

// beginsExpression reports whether what follows the token is part of an expression, and not the
// target of an assignment. A comma leaves that open.
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
	case ")", "]", "}", ";", "...":
		return false
	}
	return true
}
