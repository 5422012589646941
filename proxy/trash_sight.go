package proxy

import (
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// The proxy's part in hiding reserved databases from clients: which commands name one, and which
// code may reach one. Package trash has the rest.

// hideReserved replaces a command that names a reserved database.
func (f *frame) hideReserved() {
	if masked := f.s.w.trash.Mask(f.cmd.Name, f.Args); masked != nil {
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
	return err == nil && f.s.w.trash.Hides(db)
}

// hideInfo removes the lines of reserved databases from the reply to INFO.
func (w *worker) hideInfo(reply []byte) []byte {
	v, _, err := resp.Parse(reply)
	if err != nil {
		return reply
	}
	text := w.trash.HideKeyspace(v.Str)
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
	if call, may := s.w.policy.Reaches(&f.asked, s.w.trash.Hidden); may {
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
	if s.w.trash.Reserved == nil || !cmd.Effects.Has(policy.EffectScript) || f.guardOf() != nil {
		return ""
	}
	return f.opaque()
}

// staysInSight reports whether the code in hand leaves its database, as it may, and could not do so
// as the guard's user.
func (f *frame) staysInSight() bool {
	script := f.asked.Script
	return f.s.w.trash.Hidden != nil && script != nil && !script.Opaque && script.LeavesDatabase()
}
