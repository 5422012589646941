package trash

import (
	"embed"
	"regexp"
	"strings"

	"holdfast/proxy/resp"
)

//go:embed *.lua
var files embed.FS

// script assembles one of the scripts, behind the parts that it shares with others. Each
// request carries the whole script, so that it works in a transaction and after SCRIPT FLUSH, too.
func script(head string, names ...string) string {
	var b strings.Builder
	b.WriteString(head)
	for _, file := range append([]string{"ledger"}, names...) {
		text, err := files.ReadFile(file + ".lua")
		if err != nil {
			panic(err) // the files are part of the program
		}
		b.Write(text)
	}
	return ownCall.ReplaceAllStringFunc(stripLua(b.String()), spellCall)
}

// ownCall is a call with a fixed command name.
var ownCall = regexp.MustCompile(`redis\.p?call\('[A-Z]+'`)

// spellCall spells the command of a call as the proxy's own: the slow log shows calls of scripts.
func spellCall(call string) string {
	before, name, _ := strings.Cut(strings.TrimSuffix(call, "'"), "'")
	return before + "'" + resp.Spell(name) + "'"
}

const (
	// anyMemory: when memory is full, moving aside must work, like the deletion that it replaces.
	anyMemory = "#!lua flags=allow-oom\n"
	// someMemory is for scripts that the server refuses then.
	someMemory = "#!lua\n"
)

// stripLua removes comments and indentation from a script: it is sent often.
func stripLua(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

var (
	scriptFlush    = script(anyMemory, "flush")
	scriptKeys     = script(anyMemory, "keylist", "keys")
	scriptValues   = script(someMemory, "keylist", "keys")
	scriptUndo     = script(anyMemory, "keylist", "undo")
	scriptUndoKeys = script(anyMemory, "keylist", "undokeys")
	scriptMerge    = script(anyMemory, "merge")
	scriptPurge    = script(anyMemory, "keylist", "purge")
	scriptSweep    = script(anyMemory, "keylist", "sweep")
	scriptList     = script(anyMemory, "keylist", "list")
	scriptTold     = script(anyMemory, "told")
	scriptRoom     = script(anyMemory, "room")
)
