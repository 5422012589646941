package policy

import (
	"fmt"
	"sort"
	"strings"
)

// Table is the set of commands of one server. It is immutable.
type Table struct {
	cmds       []*Command // by ID; cmds[0] is the unknown command
	byName     map[string]*Command
	index      *index // top-level commands
	joined     *index // subcommands by their full names; see joinedSub
	categories *categoryNames
}

// entry is one command as a source describes it, before it has a place in a table.
type entry struct {
	name  string
	arity int
	flags Flags
	cats  Categories
	group string
	specs []KeySpec
	subs  []entry
}

// newTable lays the entries out. Names must be in lower case. base, which may be nil, provides
// hidden flags and groups that the source does not have.
func newTable(entries []entry, categories *categoryNames, base *Table) (*Table, error) {
	t := &Table{
		cmds:       []*Command{{}},
		byName:     make(map[string]*Command),
		categories: categories,
	}
	t.cmds[0].classify()
	sort.SliceStable(entries, func(i, j int) bool { return entries[i].name < entries[j].name })
	names, cmds := make([]string, 0, len(entries)), make([]*Command, 0, len(entries))
	for i := range entries {
		cmd, err := t.add(&entries[i], nil, base)
		if err != nil {
			return nil, err
		}
		names, cmds = append(names, cmd.Name), append(cmds, cmd)
	}
	t.index = newIndex(names, cmds)
	names, cmds = nil, nil
	for _, cmd := range t.cmds {
		if cmd.Parent != nil {
			names, cmds = append(names, cmd.Name), append(cmds, cmd)
		}
	}
	t.joined = newIndex(names, cmds)
	return t, nil
}

func (t *Table) add(e *entry, parent *Command, base *Table) (*Command, error) {
	if t.byName[e.name] != nil {
		return nil, fmt.Errorf("%w: command %q appears twice", ErrMalformed, e.name)
	}
	cmd := &Command{
		ID: len(t.cmds), Name: e.name, Arity: e.arity, Flags: e.flags, Categories: e.cats,
		KeySpecs: e.specs, Group: e.group, Parent: parent,
	}
	cmd.inherit(base)
	if !cmd.Flags.Has(FlagModule) {
		cmd.special = specialKeys[cmd.Name]
	}
	cmd.classify()
	t.cmds = append(t.cmds, cmd)
	t.byName[cmd.Name] = cmd
	return cmd, t.addSubs(cmd, e.subs, base)
}

func (t *Table) addSubs(parent *Command, subs []entry, base *Table) error {
	if len(subs) == 0 {
		return nil
	}
	sort.SliceStable(subs, func(i, j int) bool { return subs[i].name < subs[j].name })
	words := make([]string, 0, len(subs))
	for i := range subs {
		word, ok := strings.CutPrefix(subs[i].name, parent.Name+"|")
		if !ok || word == "" {
			return fmt.Errorf("%w: command %q: subcommand %q is not named after it",
				ErrMalformed, parent.Name, subs[i].name)
		}
		if len(subs[i].subs) > 0 {
			return fmt.Errorf("%w: subcommand %q has subcommands of its own",
				ErrMalformed, subs[i].name)
		}
		sub, err := t.add(&subs[i], parent, base)
		if err != nil {
			return err
		}
		parent.Subs, words = append(parent.Subs, sub), append(words, word)
	}
	parent.subs = newIndex(words, parent.Subs)
	return nil
}

// inherit takes from the built-in table the properties that COMMAND does not report.
func (c *Command) inherit(base *Table) {
	if base != nil && !c.Flags.Has(FlagModule) {
		if known := base.byName[c.Name]; known != nil {
			c.Flags |= known.Flags & hiddenFlags
			c.Group = known.Group
		}
	}
	if c.Group == "" {
		c.Group = groupOf(c.Flags, c.Categories)
	}
}

// Lookup finds the command of a request. The name may be in any case; for a container, the second
// word selects the subcommand, and if it is unknown, the result is the container itself. It never
// returns nil: a name that the table does not have is Unknown. It allocates nothing and keeps
// nothing of args.
func (t *Table) Lookup(args [][]byte) *Command {
	if len(args) == 0 {
		return t.cmds[0]
	}
	cmd := t.index.findC(args[0])
	if cmd == nil {
		return t.cmds[0]
	}
	if cmd.subs != nil && len(args) > 1 {
		if sub := cmd.subs.findC(args[1]); sub != nil {
			return sub
		}
	}
	return cmd
}

// joinedSub finds a subcommand whose full name stands in the place of a command: "CONFIG|SET" as
// one word. Redis 8 reuses the connection's last command if the name is equal to its full name
// (isCommandReusable in server.c), so that after a CONFIG SET the word CONFIG|SET is a command as
// well, on a link that many clients share. Lookup does not know these: other servers refuse them,
// and a caller may count on a subcommand's second word.
func (t *Table) joinedSub(args [][]byte) *Command {
	if len(args) == 0 {
		return nil
	}
	return t.joined.findC(args[0])
}

// Unknown is the command for every name that the table does not have. Its ID is 0 and its name is
// empty.
func (t *Table) Unknown() *Command { return t.cmds[0] }

// ByName returns the command of that name ("get", "config|set"; any case), or nil.
func (t *Table) ByName(name string) *Command { return t.byName[strings.ToLower(name)] }

// All returns every command and subcommand in the order of their IDs, the unknown one first. The
// slice is the table's own and must not be changed.
func (t *Table) All() []*Command { return t.cmds }

// Len is the number of IDs: the commands, the subcommands and the unknown one.
func (t *Table) Len() int { return len(t.cmds) }

// Category returns the set that holds the one category of that name, given with or without @ and
// in any case; ok is false if the table has none.
func (t *Table) Category(name string) (set Categories, ok bool) {
	set, ok = t.categories.byName[strings.ToLower(strings.TrimPrefix(name, "@"))]
	return set, ok
}

// CategoryNames lists the categories of a set by name, without @, separated by commas.
func (t *Table) CategoryNames(set Categories) string {
	return joinBits(uint64(set), t.categories.names)
}
