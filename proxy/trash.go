package proxy

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/audit"
	"holdfast/proxy/resp"
	"holdfast/proxy/trash"
)

// The sessions' part in the trash: the conversation about one command. Package trash has the
// scripts, and reads their replies.
//
// The scripts go by the control user's links (privileged.go), after the server has confirmed that
// the client's own user may run the command. Inside MULTI the script takes the command's place in
// the client's transaction, as the client's user, because only there does it run at EXEC.

// trashConsole is trash.Console, which console embeds, like the recorder's.
type trashConsole = trash.Console

// trashEnv is the worker as package trash sees it.
type trashEnv struct{ w *worker }

func (e trashEnv) Plan() *trash.Plan { return e.w.trash }

func (e trashEnv) Ask(args []string, done func(reply []byte, broken bool)) {
	e.w.privileged().ask(done, args...)
}

func (e trashEnv) After(d time.Duration, f func()) { e.w.loop.AfterFunc(d, f) }

func (e trashEnv) Post(f func()) bool { return e.w.loop.Post(f) }

func (e trashEnv) Draining() bool { return e.w.draining }

// trashJob is the conversation about one command on its way to the trash: the server is asked
// whether the client's user may run it (move), one script moves the endangered data aside (apart, or
// inPlace), and the client gets the command's reply or a refusal.
type trashJob struct {
	*frame // as the client sent it, kept
	trash.Move
	own  bool      // only the session's own link can interpret the command
	gone *deletion // for the budgets; nil: not counted
}

var errTrashMoved = errors.New("the configuration has just changed: send it again")

// toTrash moves the data aside that a command would destroy. One that destroys nothing goes on.
func (f *frame) toTrash(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	name, plan := commandName(cmd, f.Args), s.w.trash
	if !policy.Trashable(cmd) && !cmd.DeletesByTime(f.Args, s.w.unixMilli()) {
		// A script that calls such a command.
		f.note(r, denied, "")
		return f.refuse(textDenied(name, r.Name))
	}
	if !trash.Destroys(cmd, f.Args, s.w.unixMilli()) {
		return goOn
	}
	if plan.Lacking() != nil {
		f.note(r, denied, "")
		m := trash.Move{Plan: plan, Name: name, Rule: r}
		return f.refuse(m.Missing(nil))
	}
	if f.due.Route != nil {
		if n := f.undurable(); n != goOn {
			return n
		}
	}
	if n := f.withinBudget(); n != goOn {
		return n
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	if n := f.logsSaved(); n != goOn {
		return n
	}
	j := f.trashJob(name, r)
	f.deleting = nil
	tx := s.tx
	f.permitted(j.frame.Args, func() { j.move(tx) })
	return handled
}

// trashJob begins the conversation.
func (f *frame) trashJob(name string, r *policy.Rule) *trashJob {
	s, cmd := f.s, f.cmd
	j := &trashJob{frame: f.kept(), own: s.ownLinkOnly(), gone: f.deleting}
	j.Move = trash.Move{Plan: s.w.trash, Cmd: cmd, Name: name, Rule: r, Session: s.id}
	if j.Keyed() {
		j.hideReserved() // COPY … DB
	}
	j.Move.Args = j.frame.Args
	db := int(s.db)
	if s.tx != nil || j.own {
		db = -1
	}
	j.Scope = trash.Scope(cmd, f.Args, db)
	command := string(short(bytes.Join(f.Args, []byte(" "))))
	switch cmd.Name {
	case "set", "restore", "restore-asking": // values are the application's
		command = audit.Describe(cmd, f.Args)
	}
	j.Client = trash.Client{User: s.ident.userName(), Addr: s.conn.RemoteAddr(), Name: s.name,
		Command: command, Rule: r.Name}
	if s.tx != nil && s.w.srv.audit.On() {
		j.Client.Mark = s.tx.trash.newMark(s.id)
	}
	return j
}

// move continues once the server has confirmed the user's permission. tx is the command's
// transaction.
func (j *trashJob) move(tx *transaction) {
	s := j.s
	switch {
	case !s.w.trash.Same(j.Plan):
		j.refuseWith(j.Missing(errTrashMoved))
	case tx != s.tx, j.own && s.pin == nil:
		// The link is lost, and the session ends with it, and with the transaction.
	case tx != nil || j.own:
		j.inPlace()
	default:
		j.apart()
	}
}

// refuseWith refuses a command that did not go to the trash.
func (j *trashJob) refuseWith(text string) {
	j.note(j.rule, denied, "")
	j.refuseNow(resp.AppendOwnError(nil, text))
}

// apart sends the script by the control user's link.
func (j *trashJob) apart() {
	s := j.s
	j.again()
	j.matchAgain()
	s.markAgain()
	j.askString(s.w.privileged(), j.Apart(), func(reply []byte, broken bool) {
		if broken {
			s.answerNow(bytes.Clone(reply))
			return
		}
		moved, refusal := j.Read(reply)
		if refusal != "" {
			j.refuseWith(refusal)
			return
		}
		j.moved(&moved)
		s.answerNow(j.Reply(&moved, int(s.proto)))
	})
}

// moved records a new entry.
func (j *trashJob) moved(m *trash.Moved) {
	s, ref := j.s, ""
	if m.ID != 0 {
		ref = strconv.FormatInt(m.ID, 10)
	}
	if m.ID != 0 && !j.Keyed() {
		s.w.log.Info("moved to the trash", "id", m.ID, "keys", m.Value.Int, "command", j.Name,
			"rule", j.rule.Name, "user", s.ident.userName(), "client", s.conn.RemoteAddr())
	}
	switch {
	case j.gone == nil:
	case j.Keyed():
		s.w.srv.budgets.deleted(s, j.gone.count(&m.Value))
	default:
		s.w.srv.budgets.deleted(s, m.Value.Int)
	}
	j.note(j.rule, trashed, ref)
}

// inPlace sends the script by the session's own link, in place of the command: in a transaction, it
// is carried out at EXEC. The server checks the client's user.
func (j *trashJob) inPlace() {
	s, l := j.s, j.s.pin
	j.again()
	j.deleting = j.gone
	if j.Client.Mark == "" {
		j.note(j.rule, trashed, "")
	} else {
		j.noteAtExec()
	}
	s.tx.fix(whyBeside(j.Name))
	l.send(resp.AppendCommandStrings(nil, j.InPlace()...))
	if s.tx == nil {
		j.matchAgain()
	}
	if !l.sub.active || s.muted != replyOn {
		j.noteSent(l, modeForward, nil)
		return
	}
	j.noteSent(l, modeCall, &call{done: func(reply []byte, _ bool) {
		if bytes.HasPrefix(reply, []byte("-ERR Can't execute")) { // as a subscriber
			reply = bytes.Replace(reply, []byte("'eval'"), []byte("'"+j.Name+"'"), 1)
		}
		s.deliver(reply)
	}})
}

// In a transaction data goes to the trash at EXEC, and the script's reply goes to the client. So
// the script stores the entry's id under a mark, and the proxy fetches it after EXEC's reply. Only
// then does the audit log record the entry: a discarded command never ran.

// queuedTrash is the audit records that await EXEC's reply, by their marks.
type queuedTrash struct {
	marks   []string
	entries []audit.Entry
}

// newMark is a name that no other command has. session is the session's id.
func (q *queuedTrash) newMark(session uint64) string {
	return strings.Join([]string{strconv.FormatUint(session, 36), strconv.FormatInt(time.Now().UnixNano(), 36),
		strconv.Itoa(len(q.marks))}, "-")
}

// noteAtExec is note for a command in a transaction.
func (j *trashJob) noteAtExec() {
	s := j.s
	if s.again.waited {
		return
	}
	s.w.counters.Rules[j.rule.Index].Trashed++
	q := &s.tx.trash
	q.marks = append(q.marks, j.Client.Mark)
	q.entries = append(q.entries, j.auditEntry(j.rule, trashed))
}

// tell records in the audit log the data that a transaction moved to the trash. ran is false if the
// link broke and the outcome is unknown.
func (q *queuedTrash) tell(w *worker, ran bool) {
	if !ran {
		putTrashed(w.srv.audit, q.entries, nil)
		return
	}
	entries := q.entries
	w.keeper.IDs(q.marks, func(marks, ids []string) {
		putTrashed(w.srv.audit, entries[:len(marks)], ids)
		entries = entries[len(marks):]
	})
}

// putTrashed hands lines to the audit log, with the known ids.
func putTrashed(log *audit.Log, list []audit.Entry, ids []string) {
	for i, e := range list {
		if i < len(ids) {
			e.Trash = ids[i]
		}
		log.Put(e)
	}
}
