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

// parsePattern reads an element; problem says what is wrong with it.
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

// resolve marks what the pattern means in covers, by Command.ID, and reports whether the table
// knows its name.
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
	if twin := t.byName[twins[p.command]]; restricts && twin != nil {
		covers[twin.ID] = true
	}
	return true
}

// twins holds the commands that do what another does: to restrict that is to restrict them.
var twins = map[string]string{
	"replicaof": "slaveof", "slaveof": "replicaof", "sync": "psync", "psync": "sync",
	"restore": "restore-asking",
}

// resolveCategory marks the members of a category. A container is in few categories itself, and
// requests resolve to it only with a subcommand that the table does not know: to restrict, it is
// taken for a member if any of its subcommands is.
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

// unknown explains a name that the table does not have; "" if it may stand all the same: the
// built-in table has it (a server can lack a command, for it may be older or have it renamed), or
// it is written as modules write theirs, with a dot ("ft.search"): the module may be loaded later.
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
