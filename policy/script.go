package policy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Script is the analysis of a piece of code that the server runs. It is immutable.
type Script struct {
	// Calls are the calls with a literal name, in the order of the source. Of equal ones it has the first.
	Calls []Call

	// Opaque is set when the code may make other calls; Reason gives the cause, with the line.
	Opaque bool
	Reason string

	// Library is the name in the first line of a function library; "" for a script.
	Library string
}

// Call is one call of a command.
type Call struct {
	Line int
	Args []ScriptArg // with the name, which is literal
	Open bool        // more arguments may follow
}

// ScriptArg is one argument of a call.
type ScriptArg struct {
	Kind  ArgKind
	Text  string // ArgLiteral: the argument itself
	Index int    // ArgKey, ArgArgv: its number, from 1
}

// ArgKind is the source of a call's argument.
type ArgKind uint8

// The kinds of arguments.
const (
	ArgUnknown ArgKind = iota // computed
	ArgLiteral                // written out
	ArgKey                    // KEYS[n]
	ArgArgv                   // ARGV[n]
	ArgAllKeys                // unpack(KEYS), in the last place
	ArgAllArgv                // unpack(ARGV), in the last place
)

// MaxScriptBytes bounds the scanned source; longer code is opaque.
const MaxScriptBytes = 256 << 10

// Scan finds the commands that a piece of Lua can call: a script (EVAL, SCRIPT LOAD) or a function
// library (FUNCTION LOAD).
//
// It does not run the code and does not follow values. It works on the tokens alone: commands are
// reached only through the functions call and pcall of the table redis (server in Valkey), and the
// table only by its name or through the global environment. So if every mention of redis is one of
// a known harmless field or a direct call with a literal name, and no name appears that leads to
// the environment or compiles code, then the scan has seen every call that the code can make.
// Anything else is opaque: a computed name, an index in brackets, the table or the function as a
// value, _G, getfenv, loadstring, setmetatable. One alias is followed, because half of all
// libraries begin with it: local rcall = redis.call, where each other mention of rcall is a direct
// call with a literal name; since the proof is by spelling, scopes do not matter.
//
// Command names are compared by looking them up, as the server does later.
func Scan(src []byte) *Script {
	if len(src) > MaxScriptBytes {
		return &Script{Opaque: true, Reason: "it is too long to read"}
	}
	s := &scanner{script: &Script{}, found: map[string]struct{}{}}
	body, ok := s.shebang(src)
	if !ok {
		return s.script
	}
	tokens, err := lexLua(string(body))
	if err != nil {
		s.opaque(0, "it holds %v", err)
		return s.script
	}
	s.tokens = tokens
	s.findAliases()
	s.findLocals()
	s.effort = maxEffort * len(tokens)
	for i := range s.tokens {
		s.look(i)
	}
	return s.script
}

type scanner struct {
	script   *Script
	tokens   []token
	aliases  map[string]bool      // names of local variables that hold redis.call or redis.pcall
	constant bool                 // KEYS and ARGV keep the request's values
	locals   map[string]ScriptArg // names of local variables that hold one known value
	effort   int                  // tokens left for reading arguments
	found    map[string]struct{}  // what distinguishes each call in script
	key      []byte               // reused for a call's entry in found
}

// opaque records the first reason for unknown calls.
func (s *scanner) opaque(line int, format string, args ...any) {
	if s.script.Opaque {
		return
	}
	s.script.Opaque, s.script.Reason = true, fmt.Sprintf(format, args...)
	if line > 0 {
		s.script.Reason += fmt.Sprintf(" in line %d", line)
	}
}

// shebang removes the first line, as evalExtractShebangFlags and functionExtractLibMetaData do.
func (s *scanner) shebang(src []byte) (body []byte, ok bool) {
	if !bytes.HasPrefix(src, []byte("#!")) {
		return src, true
	}
	end := bytes.IndexByte(src, '\n')
	if end < 0 {
		s.opaque(0, "its first line has no end")
		return nil, false
	}
	words := strings.Fields(string(src[:end]))
	if words[0] != "#!lua" {
		s.opaque(0, "it is not in Lua")
		return nil, false
	}
	for _, word := range words[1:] {
		if len(word) > 5 && strings.EqualFold(word[:5], "name=") {
			s.script.Library = word[5:]
		}
	}
	return src[end:], true
}

// at returns a token, or the end beyond it.
func (s *scanner) at(i int) token {
	if i < 0 || i >= len(s.tokens) {
		return token{}
	}
	return s.tokens[i]
}

// isField reports whether the name at i is one after a dot or a colon.
func (s *scanner) isField(i int) bool {
	before := s.at(i - 1)
	return before.symbol(".") || before.symbol(":")
}

// isAPI reports whether the token is the name of the server's table.
func isAPI(t token) bool {
	return t.is(tokenName, "redis") || t.is(tokenName, "server")
}

// isCallField reports whether redis.call or redis.pcall stands at i.
func (s *scanner) isCallField(i int) bool {
	name := s.at(i + 2)
	return isAPI(s.at(i)) && s.at(i+1).symbol(".") &&
		(name.is(tokenName, "call") || name.is(tokenName, "pcall"))
}

// findAliases finds "local NAME = redis.call" before the start of another statement.
func (s *scanner) findAliases() {
	s.aliases = make(map[string]bool)
	for i := range s.tokens {
		if s.isAlias(i) {
			s.aliases[s.at(i+1).text] = true
		}
	}
}

// isAlias reports whether the declaration of an alias stands at i.
func (s *scanner) isAlias(i int) bool {
	return s.at(i).is(tokenKeyword, "local") && s.at(i+1).kind == tokenName &&
		s.at(i+2).symbol("=") && s.isCallField(i+3) && s.endsStatement(i+6)
}

func (s *scanner) endsStatement(i int) bool {
	t := s.at(i)
	switch t.kind {
	case tokenEnd, tokenName:
		return true
	case tokenKeyword:
		return t.text != "and" && t.text != "or"
	}
	return t.symbol(";")
}

// harmless holds the fields of redis that call nothing.
var harmless = map[string]bool{
	"error_reply": true, "status_reply": true, "sha1hex": true, "log": true, "LOG_DEBUG": true,
	"LOG_VERBOSE": true, "LOG_NOTICE": true, "LOG_WARNING": true, "setresp": true,
	"set_repl": true, "REPL_ALL": true, "REPL_NONE": true, "REPL_AOF": true,
	"REPL_SLAVE": true, "REPL_REPLICA": true, "replicate_commands": true, "breakpoint": true,
	"debug": true, "acl_check_cmd": true, "register_function": true, "REDIS_VERSION": true,
	"REDIS_VERSION_NUM": true, "SERVER_VERSION": true, "SERVER_VERSION_NUM": true,
	"SERVER_NAME": true,
}

// unsafeNames holds the globals that lead to the environment, or make code or hooks.
var unsafeNames = map[string]bool{
	"_G": true, "_ENV": true, "getfenv": true, "setfenv": true, "loadstring": true, "load": true,
	"loadfile": true, "dofile": true, "require": true, "module": true, "package": true,
	"debug": true, "newproxy": true, "setmetatable": true, "getmetatable": true, "rawget": true,
	"rawset": true,
}

// look judges the token at i.
func (s *scanner) look(i int) {
	t := s.at(i)
	switch {
	case t.kind != tokenName:
	case isAPI(t):
		s.lookAPI(i)
	case s.isField(i):
	case unsafeNames[t.text]:
		s.opaque(t.line, "it uses %s", t.text)
	case s.aliases[t.text] && !s.isAlias(i-1):
		s.call(i, t.text)
	}
}

// lookAPI judges a mention of redis.
func (s *scanner) lookAPI(i int) {
	t, field := s.at(i), s.at(i+2)
	switch {
	case !s.at(i+1).symbol(".") || field.kind != tokenName:
		s.opaque(t.line, "it uses %s other than by a field's name", t.text)
	case s.isCallField(i):
		if !s.isAlias(i - 3) {
			s.call(i+2, t.text+"."+field.text)
		}
	case !harmless[field.text]:
		s.opaque(t.line, "it uses %s.%s", t.text, field.text)
	}
}

// call reads the call of the function whose name ends at i.
func (s *scanner) call(i int, name string) {
	first, line := s.at(i+1), s.at(i).line
	switch {
	case first.kind == tokenString: // redis.call"PING"
		s.add(Call{Line: line, Args: []ScriptArg{{Kind: ArgLiteral, Text: first.text}}})
		return
	case !first.symbol("("):
		s.opaque(line, "it uses %s as a value", name)
		return
	case s.at(i+2).kind != tokenString || !s.at(i+3).symbol(",") && !s.at(i+3).symbol(")"):
		s.opaque(line, "it computes the name of a command")
		return
	}
	call, ok := s.arguments(i + 1)
	if !ok {
		s.opaque(line, "it has a call without an end, or calls too deep in each other")
		return
	}
	call.Line = line
	s.add(call)
}

// add adds a call unless the code has an equal one: each is judged whenever the code runs.
func (s *scanner) add(c Call) {
	s.key = append(s.key[:0], 0)
	if c.Open {
		s.key[0] = 1
	}
	for _, arg := range c.Args {
		s.key = append(s.key, byte(arg.Kind))
		s.key = binary.AppendUvarint(s.key, uint64(arg.Index))
		s.key = binary.AppendUvarint(s.key, uint64(len(arg.Text)))
		s.key = append(s.key, arg.Text...)
	}
	if _, known := s.found[string(s.key)]; known {
		return
	}
	s.found[string(s.key)] = struct{}{}
	s.script.Calls = append(s.script.Calls, c)
}

// Names lists the first words of the calls, in lower case, sorted, each once; for logs.
func (s *Script) Names() []string {
	var names []string
	for _, c := range s.Calls {
		names = append(names, strings.ToLower(c.Args[0].Text))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// calls reports whether the code calls the command of that name by a literal name.
func (s *Script) calls(name string) bool {
	for i := range s.Calls {
		if isWord([]byte(s.Calls[i].Args[0].Text), name) {
			return true
		}
	}
	return false
}
