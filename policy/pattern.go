package policy

import (
	"fmt"
	"strings"
)

// pattern is one element of a rule's commands or except. Exactly one field is set.
type pattern struct {
	all      bool
	category string // without @
	command  string // "flushall", "config|set"
}

// parsePattern reads an element; problem describes its fault.
func parsePattern(text string) (p pattern, problem string) {
	name := strings.ToLower(strings.TrimSpace(text))
	switch {
	case name == "*":
		return pattern{all: true}, ""
	case strings.HasPrefix(name, "@"):
		if name == "@all" {
			return pattern{all: true}, "" // as ACL SETUSER has it
		}
		p.category = name[1:]
	default:
		words := strings.FieldsFunc(name, func(r rune) bool { return r == '|' || r == ' ' })
		p.command = strings.Join(words, "|")
		if len(words) > 2 {
			return p, fmt.Sprintf("%q: only one level of subcommands exists", text)
		}
	}
	if p.category == "" && p.command == "" {
		return p, fmt.Sprintf("%q is not the name of a command", text)
	}
	if strings.ContainsAny(name, "*?[]") {
		return p, fmt.Sprintf("%q: names have no wildcards; @category and * cover many", text)
	}
	return p, ""
}

// String is the normal form: lower case, | between container and subcommand.
func (p pattern) String() string {
	switch {
	case p.all:
		return "*"
	case p.category != "":
		return "@" + p.category
	}
	return p.command
}

// resolve marks the commands of the pattern in covers, by Command.ID, and reports whether the table
// has its name.
func (p pattern) resolve(t *Table, restricts bool, covers []bool) bool {
	switch {
	case p.all:
		for id := range covers {
			covers[id] = true
		}
		return true
	case p.category != "":
		return p.resolveCategory(t, restricts, covers)
	}
	cmd := t.byName[p.command]
	if cmd == nil {
		return false
	}
	covers[cmd.ID] = true
	for _, sub := range cmd.Subs {
		covers[sub.ID] = true
	}
	for _, name := range twins[p.command] {
		if twin := t.byName[name]; restricts && twin != nil {
			covers[twin.ID] = true
		}
	}
	return true
}

// twins maps a command to equivalent ones, and to newer servers' replacements: a rule that
// restricts it restricts them.
var twins = map[string][]string{
	"replicaof": {"slaveof"}, "slaveof": {"replicaof"}, "sync": {"psync"}, "psync": {"sync"},
	"restore": {"restore-asking"},
	"del":     {"delifeq", "delex"},  // Valkey 9.0, Redis 8.4
	"hdel":    {"hgetdel"},           // Redis 8.0, Valkey 9.1
	"mset":    {"msetex"},            // Valkey 9.1, Redis 8.4
	"hset":    {"hsetex"},            // Redis 8.0, Valkey 9.0
	"xdel":    {"xdelex", "xackdel"}, // Redis 8.2
}

// resolveCategory marks the members of a category. A container is in few categories itself, and
// requests resolve to it only with a subcommand that the table does not know. A restricting rule
// therefore treats it as a member if any of its subcommands is one.
func (p pattern) resolveCategory(t *Table, restricts bool, covers []bool) bool {
	set, ok := t.Category(p.category)
	if !ok {
		return false
	}
	for _, cmd := range t.cmds[1:] {
		if !cmd.Categories.Any(set) {
			continue
		}
		covers[cmd.ID] = true
		if restricts && cmd.Parent != nil {
			covers[cmd.Parent.ID] = true
		}
	}
	return true
}

// unknown explains a name that the table does not have. It returns "" for a valid one: the built-in
// table has it (the server may be too old for the command, or have it renamed), or it has the dot
// of a module's command ("ft.search"): the module may be loaded later.
func (p pattern) unknown(t *Table) string {
	if p.category != "" {
		return fmt.Sprintf("unknown category \"@%s\"%s", p.category,
			didYouMean("@", p.category, t.categories.names))
	}
	if strings.Contains(p.command, ".") || Builtin().byName[p.command] != nil {
		return ""
	}
	names := make([]string, 0, t.Len())
	for _, cmd := range t.cmds[1:] {
		names = append(names, cmd.Name)
	}
	if container, word, ok := strings.Cut(p.command, "|"); ok && t.byName[container] != nil {
		return fmt.Sprintf("%q has no subcommand %q%s", container, word,
			didYouMean("", p.command, names))
	}
	return fmt.Sprintf("unknown command %q%s", p.command, didYouMean("", p.command, names))
}
