package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Reserved databases do not exist for clients. A command that names one is sent with a number that
// no server has, so that the server itself refuses it, in its own words and in its own order of
// checks, in a transaction, too.

// hiddenSuffix turns the number of a reserved database into one that no server has.
const hiddenSuffix = "00000"

// hideReserved replaces a command that names a reserved database.
func (f *frame) hideReserved() {
	trash := f.s.w.trash
	if trash.hidden == nil {
		return
	}
	var masked [][]byte
	for _, i := range databaseArgs(f.cmd.Name, f.Args) {
		db, err := strconv.Atoi(string(f.Args[i]))
		if err != nil || !trash.hides(db) {
			continue
		}
		if masked == nil {
			masked = cloneArgs(f.Args)
		}
		// With more digits a number is still a number, and an invalid one ("09") is still invalid.
		masked[i] = append(masked[i], hiddenSuffix...)
	}
	if masked != nil {
		f.hidden = true
		f.Command = resp.Command{Args: masked, Raw: resp.AppendCommand(nil, masked...)}
	}
}

// migratesToTrash reports whether a MIGRATE names a reserved database. Its target is mostly another
// server, but it may be this one under any address, and then RESTORE would overwrite the ledger.
func (f *frame) migratesToTrash() bool {
	if f.cmd.Name != "migrate" || len(f.Args) < 6 {
		return false
	}
	db, err := strconv.Atoi(string(f.Args[4]))
	return err == nil && f.s.w.trash.hides(db)
}

// databaseArgs returns the indexes of the arguments that are database numbers.
func databaseArgs(name string, args [][]byte) []int {
	switch {
	case name == "select" && len(args) == 2:
		return []int{1}
	case name == "swapdb" && len(args) == 3:
		return []int{1, 2}
	case name == "move" && len(args) == 3:
		return []int{2}
	case name == "copy":
		return copyDatabases(args)
	}
	return nil
}

// copyDatabases are those of COPY source destination [DB n] [REPLACE].
func copyDatabases(args [][]byte) []int {
	var at []int
	for i := 3; i+1 < len(args); i++ {
		if resp.EqualFold(args[i], "db") {
			at = append(at, i+1)
			i++
		}
	}
	return at
}

// hideKeyspace removes the lines of reserved databases from an INFO text.
func (t *trashPlan) hideKeyspace(text []byte) []byte {
	if t.hidden == nil || !bytes.Contains(text, []byte("\ndb")) {
		return text
	}
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		if !t.hides(keyspaceLine(line)) {
			out = append(out, line...)
		}
	}
	return out
}

// keyspaceLine is the database of a line such as "db9:keys=1,expires=0", or, since Redis 8.0,
// "db9_distrib_strings_sizes:1=5"; -1 for other lines.
func keyspaceLine(line []byte) int {
	digits, ok := bytes.CutPrefix(line, []byte("db"))
	end := bytes.IndexAny(digits, ":_")
	if !ok || end < 0 {
		return -1
	}
	db, err := strconv.Atoi(string(digits[:end]))
	if err != nil {
		return -1
	}
	return db
}

// hideInfo is hideKeyspace for the reply to INFO.
func (t *trashPlan) hideInfo(reply []byte) []byte {
	v, _, err := resp.Parse(reply)
	if err != nil {
		return reply
	}
	text := t.hideKeyspace(v.Str)
	if len(text) == len(v.Str) {
		return reply
	}
	return textReply(v.Type, text)
}

// reachesTrash refuses code that may reach a reserved database: numbers in code cannot be replaced.
func (f *frame) reachesTrash() next {
	s, cmd := f.s, f.cmd
	name := commandName(cmd, f.Args)
	text := ""
	if call, may := s.w.policy.Reaches(&f.asked, s.w.trash.hidden); may {
		text = textScriptTrash(name, call)
	} else if why := f.unseenTrash(); why != "" {
		text = textOpaqueTrash(name, why)
	} else {
		return goOn
	}
	if f.asked.Script == nil && strings.HasPrefix(cmd.Name, "evalsha") {
		return f.refuse(textNoScript)
	}
	if !s.again.waited {
		f.audit(&policy.Rule{Name: "trash", Action: policy.Deny}, denied, "")
	}
	return f.refuse(text)
}

// unseenTrash says why code may reach the trash by calls that cannot be read; "": it cannot. As the
// guard's user it cannot, nor while it is only loaded. Rules for other clients do not count here.
func (f *frame) unseenTrash() string {
	s, cmd := f.s, f.cmd
	if s.w.trash.reserved == nil || !cmd.Effects.Has(policy.EffectScript) || f.guardOf() != nil {
		return ""
	}
	return f.opaque()
}

// staysInSight reports whether the code in hand leaves its database, as it may, and could not do so
// as the guard's user.
func (f *frame) staysInSight() bool {
	script := f.asked.Script
	return f.s.w.trash.hidden != nil && script != nil && !script.Opaque && script.LeavesDatabase()
}
