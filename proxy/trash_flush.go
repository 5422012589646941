package proxy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/audit"
	"holdfast/proxy/resp"
)

// trashEntry is an entry of the ledger, as the scripts write and read it.
type trashEntry struct {
	ID      uint64    `json:"id,omitempty"` // 0: keys outside of all entries
	At      int64     `json:"at,omitempty"` // Unix time, ms
	Until   int64     `json:"until,omitempty"`
	User    string    `json:"user,omitempty"`
	Addr    string    `json:"addr,omitempty"`
	Name    string    `json:"name,omitempty"`
	Command string    `json:"command,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	Mark    string    `json:"mark,omitempty"` // see ledger.lua; not kept
	DBs     []trashDB `json:"dbs,omitempty"`
	Merge   *struct{} `json:"merge,omitempty"`
}

// trashDB is one database moved aside.
type trashDB struct {
	DB   int   `json:"db"`
	Slot int   `json:"slot"`
	Keys int64 `json:"keys"`
}

// trashJob is the conversation about one command on its way to the trash: the server is asked
// whether the client's user may run it (move), one script moves the endangered data aside (flush,
// or onOwnLink), and the client gets the command's reply (trashed) or a refusal.
type trashJob struct {
	*frame // as the client sent it, kept
	plan   *trashPlan
	name   string
	what   string // see flush.lua
	meta   string
	mark   string    // under which the script stores the entry's id; "": it does not
	keyed  bool      // the command is about single keys
	own    bool      // only the session's own link can interpret the command
	gone   *deletion // for the budgets; nil: not counted
}

// trash moves the data aside that a command would destroy. One that destroys nothing goes on.
func (f *frame) trash(r *policy.Rule) next {
	s, cmd := f.s, f.cmd
	name, plan := commandName(cmd, f.Args), s.w.trash
	if !policy.Trashable(cmd) && !cmd.DeletesByTime(f.Args, s.w.unixMilli()) {
		// A script that calls such a command.
		f.note(r, denied, "")
		return f.refuse(textDenied(name, r.Name))
	}
	if !f.destroys() {
		return goOn
	}
	if plan.off != nil || plan.reserved == nil {
		f.note(r, denied, "")
		return f.refuse(textNoTrash(name, r.Name, reason(plan.off)))
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
	j := &trashJob{frame: f.kept(), plan: plan, name: name, own: s.ownLinkOnly(), gone: f.deleting}
	f.deleting = nil
	if j.keyed = cmd.Name != "flushall" && cmd.Name != "flushdb"; j.keyed {
		j.hideReserved() // COPY … DB
	}
	j.what = f.flushes()
	if s.tx != nil && s.w.srv.audit.On() {
		j.mark = s.newMark()
	}
	j.meta = f.trashMeta(j.mark)
	tx := s.tx
	f.permitted(j.Args, func() { j.move(tx) })
	return handled
}

// move continues once the server has confirmed the user's permission. tx is the command's
// transaction.
func (j *trashJob) move(tx *transaction) {
	s := j.s
	switch {
	case s.w.trash.config != j.plan.config:
		j.refuseWith(textNoTrash(j.name, j.rule.Name, errTrashMoved.Error()))
	case tx != s.tx, j.own && s.pin == nil:
		// The link is lost, and the session ends with it, and with the transaction.
	case tx != nil || j.own:
		j.onOwnLink()
	default:
		j.flush()
	}
}

// ownLinkOnly reports whether only the session's own link can interpret the command: its selected
// database, the effect of unanswered commands before it, or whether a subscriber may send it.
func (s *session) ownLinkOnly() bool {
	return s.pin != nil && s.held&holdState != 0 &&
		(s.muted != replyOn || s.dbUnsure || s.userUnsure || s.pin.sub.active)
}

// refuseWith refuses a command that did not go to the trash.
func (j *trashJob) refuseWith(text string) {
	j.note(j.rule, denied, "")
	j.refuseNow(resp.AppendError(nil, text))
}

// flushes names the scope of a flush, in the words of flush.lua.
func (f *frame) flushes() string {
	s, cmd, args := f.s, f.cmd, f.Args
	switch {
	case strings.HasPrefix(cmd.Name, "flush") && len(args) > 1 && !flushOption(args):
		return "syntax"
	case cmd.Name == "flushall":
		return "all"
	case s.tx != nil || s.ownLinkOnly():
		return "current"
	}
	return strconv.Itoa(int(s.db))
}

// trashMeta is the proxy's part of an entry.
func (f *frame) trashMeta(mark string) string {
	s, cmd, args := f.s, f.cmd, f.Args
	command := string(short(bytes.Join(args, []byte(" "))))
	switch cmd.Name {
	case "set", "restore", "restore-asking": // values are the application's
		command = audit.Describe(cmd, args)
	}
	text, err := json.Marshal(trashEntry{
		User: s.ident.userName(), Addr: s.conn.RemoteAddr(), Name: s.name,
		Command: command, Rule: f.rule.Name, Mark: mark,
	})
	if err != nil {
		return "{}" // strings and numbers: it cannot fail
	}
	return string(text)
}

// flushOption reports whether every server accepts the arguments of a flush.
func flushOption(args [][]byte) bool {
	return len(args) == 2 && (resp.EqualFold(args[1], "sync") || resp.EqualFold(args[1], "async"))
}

// eval is the command that moves data aside; form is the form of the reply.
func (j *trashJob) eval(form string) []string {
	keep := strconv.FormatInt(j.rule.Keep.Milliseconds(), 10)
	nonce := "holdfast:trash:" + strconv.FormatUint(j.s.id, 16) + ":" +
		strconv.FormatInt(time.Now().UnixNano(), 16) + ":"
	if j.keyed {
		return j.evalKeys(keep, nonce, form)
	}
	return j.plan.eval(scriptFlush, j.what, j.meta, keep, nonce,
		textTrashFull(j.name, j.rule.Name), form)
}

// flush moves databases aside on the control user's link.
func (j *trashJob) flush() {
	s := j.s
	j.again()
	j.matchAgain()
	s.markAgain()
	j.askString(s.w.privileged(), j.eval("id"), func(reply []byte, broken bool) {
		switch v, _, err := resp.Parse(reply); {
		case broken:
			s.answerNow(bytes.Clone(reply))
		case isError(reply, false):
			j.refuseWith(j.refusal(reply))
		case err != nil || len(v.Elems) != 2:
			j.refuseWith(textTrashFailed(j.name, j.rule.Name, "no id"))
		default:
			j.trashed(v.Elems[0].Int, &v.Elems[1])
			s.answerNow(j.reply(&v.Elems[1], int(s.proto)))
		}
	})
}

// trashed records a new entry; id 0: there was nothing to keep.
func (j *trashJob) trashed(id int64, v *resp.Value) {
	s, ref := j.s, ""
	if id != 0 {
		ref = strconv.FormatInt(id, 10)
	}
	if id != 0 && !j.keyed {
		s.w.log.Info("moved to the trash", "id", id, "keys", v.Int, "command", j.name,
			"rule", j.rule.Name, "user", s.ident.userName(), "client", s.conn.RemoteAddr())
	}
	switch {
	case j.gone == nil:
	case j.keyed:
		s.countDeleted(j.gone.count(v))
	default:
		s.countDeleted(v.Int)
	}
	j.note(j.rule, trashed, ref)
}

// refusal turns a script's error into the client's. The server's own codes (READONLY, BUSY,
// MISCONF) have the same meaning as for any write. For a command about single keys, ERR is the
// server's answer to it, unless the text is about the script.
func (j *trashJob) refusal(reply []byte) string {
	text := string(trimCRLF(reply[1:]))
	own := strings.HasPrefix(text, "ERR") && !strings.Contains(text, "script")
	if j.keyed && own || text == "ERR syntax error" || !bytes.HasPrefix(reply, []byte("-ERR")) &&
		!bytes.HasPrefix(reply, []byte("-NOPERM")) {
		return text
	}
	return textTrashFailed(j.name, j.rule.Name, text)
}

// onOwnLink sends the script by the session's own link, in place of the command: in a
// transaction, it is carried out at EXEC. The server checks the client's user.
func (j *trashJob) onOwnLink() {
	s, l := j.s, j.s.pin
	j.again()
	j.deleting = j.gone
	if j.mark == "" {
		j.note(j.rule, trashed, "")
	} else {
		j.noteAtExec()
	}
	s.tx.fix(whyBeside(j.name))
	l.send(resp.AppendCommandStrings(nil, j.eval("ok")...))
	if s.tx == nil {
		j.matchAgain()
	}
	if !l.sub.active || s.muted != replyOn {
		j.noteSent(l, modeForward, nil)
		return
	}
	j.noteSent(l, modeCall, &call{done: func(reply []byte, _ bool) {
		if bytes.HasPrefix(reply, []byte("-ERR Can't execute")) { // as a subscriber
			reply = bytes.Replace(reply, []byte("'eval'"), []byte("'"+j.name+"'"), 1)
		}
		s.deliver(reply)
	}})
}
