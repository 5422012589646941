package proxy

import (
	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/approvals"
	"holdfast/proxy/audit"
)

// A rule with the action confirm holds a command for approval (package approvals): the client is
// answered -CONFIRM with a token.

// approved reports whether this command has an approval, and consumes it.
func (f *frame) approved(r *policy.Rule) bool {
	s := f.s
	if s.tx != nil {
		return false
	}
	if s.again.waited {
		return s.again.approved
	}
	user, db := f.whoAndWhere()
	token, ok := s.w.srv.approvals.Use(approvals.KeyOf(user, db, f.Args))
	if ok {
		s.again.approved = true
		f.note(r, approved, token)
	}
	return ok
}

// whoAndWhere returns the user and the database of an approval. An unknown user or database has a
// name of its own, so that an approval for a known one never covers it.
func (f *frame) whoAndWhere() (user string, db int32) {
	s := f.s
	user, db = s.ident.userName(), s.db
	if s.userUnsure {
		user = unsureUser
	}
	if s.dbUnsure {
		db = -1
	}
	return user, db
}

// unsureUser stands for the user after a login whose reply the proxy could not see.
const unsureUser = "(unknown)"

// confirm answers a command that needs approval.
func (f *frame) confirm(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	name := commandName(cmd, f.Args)
	if s.tx != nil {
		f.note(r, denied, "")
		return f.refuse(textNotInMulti(name, r.Name))
	}
	user, db := f.whoAndWhere()
	token := s.w.srv.approvals.Ask(approvals.KeyOf(user, db, f.Args), func() admin.Pending {
		return admin.Pending{
			Rule: r.Name, User: user, Addr: s.conn.RemoteAddr(), Name: s.name, DB: int(db),
			Command: audit.Describe(cmd, f.Args),
		}
	})
	f.note(r, held, token)
	return f.refuse(textConfirm(name, r.Name, token))
}
