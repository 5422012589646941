package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Reserved databases do not exist for clients. A command that names one is sent with a number that
// no server has, so that the server itself refuses it, in its own words and in its own order of
// checks; also in a transaction.

// hideReserved returns c, or what is to be sent instead.
func (s *session) hideReserved(c *resp.Command, cmd *policy.Command) *resp.Command {
	if s.w.trash.hidden == nil {
		return c
	}
	var masked *resp.Command
	for _, i := range databaseArgs(cmd.Name, c.Args) {
		db, err := strconv.Atoi(string(c.Args[i]))
		if err != nil || !s.w.trash.hides(db) {
			continue
		}
		if masked == nil {
			masked = &resp.Command{Args: cloneArgs(c.Args)}
		}
		// More digits leave a number a number, and what the server does not take for one
		// ("09") what it is.
		masked.Args[i] = append(masked.Args[i], "00000"...)
	}
	if masked == nil {
		return c
	}
	masked.Raw = resp.AppendCommand(nil, masked.Args...)
	return masked
}

// databaseArgs are the places of a command's arguments that are numbers of databases.
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

// hideKeyspace takes the lines of reserved databases out of an INFO text.
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

// keyspaceLine is the database of a line such as "db9:keys=1,expires=0"; -1 for other lines.
func keyspaceLine(line []byte) int {
	name, _, ok := bytes.Cut(line, []byte(":keys="))
	if !ok || !bytes.HasPrefix(name, []byte("db")) {
		return -1
	}
	db, err := strconv.Atoi(string(name[2:]))
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

// hideFromCode is what keeps code out of the reserved databases: what it may not call, and the
// databases that it may select all the same, if the user default may.
func (t *trashPlan) hideFromCode() (hide, grants []string) {
	if t.hidden == nil {
		return nil, nil
	}
	for _, name := range policy.LeavingDatabase() {
		hide = append(hide, "-"+name)
	}
	for db := range t.count {
		if !t.hides(db) {
			grants = append(grants, fmt.Sprint("+select|", db))
		}
	}
	return hide, grants
}

// reachesTrash refuses code that may come to a reserved database: in code no number can be replaced.
func (s *session) reachesTrash(c *resp.Command, cmd *policy.Command) (done, ok bool) {
	name := commandName(cmd, c.Args)
	text := ""
	if call, may := s.w.policy.Reaches(&s.w.asked, s.w.trash.hidden); may {
		text = textScriptTrash(name, call)
	} else if why := s.unseenTrash(cmd); why != "" {
		text = textOpaqueTrash(name, why)
	} else {
		return false, false
	}
	if s.w.asked.Script == nil && strings.HasPrefix(cmd.Name, "evalsha") {
		return true, s.refuse1(cmd, textNoScript)
	}
	if !s.again.waited {
		s.audit(c, cmd, &policy.Rule{Name: "trash", Action: policy.Deny}, denied, "")
	}
	return true, s.refuse1(cmd, text)
}

// unseenTrash says why code may come to the trash by calls that cannot be read; "" if it cannot. As
// the guard's user it cannot, and neither can it while it is only loaded. Rules that are about
// others than this client say nothing of that.
func (s *session) unseenTrash(cmd *policy.Command) string {
	switch script := s.w.asked.Script; {
	case s.w.trash.reserved == nil || !cmd.Effects.Has(policy.EffectScript) ||
		cmd.Flags.Has(policy.FlagReadonly) || s.guardOf(cmd) != nil:
		return ""
	case script == nil:
		return "is not known to the proxy"
	case script.Opaque:
		return "may call anything (" + script.Reason + ")"
	}
	return ""
}

// staysInSight reports that the code in hand leaves its database, to which it has every right, and
// could not as the guard's user.
func (s *session) staysInSight() bool {
	script := s.w.asked.Script
	return s.w.trash.hidden != nil && script != nil && !script.Opaque && script.LeavesDatabase()
}
