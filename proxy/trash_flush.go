package proxy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// trashEntry is an entry of the ledger: what the scripts write and read.
type trashEntry struct {
	ID      uint64    `json:"id,omitempty"` // 0: not an entry, but something that is in none
	At      int64     `json:"at,omitempty"` // Unix time, ms
	Until   int64     `json:"until,omitempty"`
	User    string    `json:"user,omitempty"`
	Addr    string    `json:"addr,omitempty"`
	Name    string    `json:"name,omitempty"`
	Command string    `json:"command,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	Mark    string    `json:"mark,omitempty"` // see told in ledger.lua; not kept
	DBs     []trashDB `json:"dbs,omitempty"`
	Merge   *struct{} `json:"merge,omitempty"`
}

// trashDB is one database that was moved aside.
type trashDB struct {
	DB   int   `json:"db"`
	Slot int   `json:"slot"`
	Keys int64 `json:"keys"`
}

// trashJob is one command on its way to the trash.
type trashJob struct {
	frame *resp.Command // as the client sent it
	cmd   *policy.Command
	rule  *policy.Rule
	plan  *trashPlan
	name  string
	what  string // see flush.lua
	meta  string
	mark  string    // under which the script tells the id of the entry; "": it does not
	keyed bool      // it is about single keys
	gone  *deletion // for the budgets; nil: it does not count
}

// trash moves aside what a command would destroy. done is false when this command destroys nothing.
func (s *session) trash(c *resp.Command, cmd *policy.Command, r *policy.Rule) (done, ok bool) {
	if s.held&holdRefused != 0 {
		return false, true // refused whatever it is
	}
	name, plan := commandName(cmd, c.Args), s.w.trash
	if !policy.Trashable(cmd) && !cmd.DeletesByTime(c.Args, s.w.unixMilli()) {
		// A script that calls such a command.
		s.note(c, cmd, r, denied, "")
		return true, s.refuse1(cmd, textDenied(name, r.Name))
	}
	if !s.destroys(cmd, c.Args) {
		return false, true
	}
	if plan.off != nil || plan.reserved == nil {
		s.note(c, cmd, r, denied, "")
		return true, s.refuse1(cmd, textNoTrash(name, r.Name, reason(plan.off)))
	}
	if s.due.Route != nil {
		if done, ok := s.undurable(c, cmd); done {
			return true, ok
		}
	}
	held := s.held&holdMulti != 0
	if done, ok := s.withinBudget(c, cmd, held || s.ownLinkOnly()); done {
		return true, ok
	}
	if s.outstanding > 0 {
		s.wait = waitOrder
		return true, false
	}
	j := &trashJob{cmd: cmd, rule: r, plan: plan, name: name, gone: s.deleting}
	s.deleting = nil
	j.frame = &resp.Command{Args: cloneArgs(c.Args)}
	if j.keyed = cmd.Name != "flushall" && cmd.Name != "flushdb"; j.keyed {
		j.frame = s.hideReserved(j.frame, cmd) // COPY … DB
	}
	j.what = s.flushes(cmd, c.Args)
	if held && s.w.srv.audits.Load() != nil {
		j.mark = s.newMark()
	}
	j.meta = s.trashMeta(cmd, c.Args, r, j.mark)
	own := s.ownLinkOnly()
	s.permitted(cmd, j.frame.Args, r.Name, func() {
		switch {
		case s.w.trash.config != plan.config:
			s.refuseTrash(j, textNoTrash(name, r.Name, errTrashMoved.Error()))
		case held && (s.pin == nil || s.held&holdMulti == 0), own && s.pin == nil:
			// The link is lost, and the session ends with it, and with the transaction.
		case held || own:
			s.trashOnOwnLink(j)
		default:
			s.trashFlush(j)
		}
	})
	return true, true
}

// ownLinkOnly reports that only the session's own link knows what the command means: which database
// it has selected, what came before it without an answer, or whether a subscriber may send it.
func (s *session) ownLinkOnly() bool {
	return s.pin != nil && s.held&holdState != 0 &&
		(s.muted != replyOn || s.dbUnsure || s.userUnsure || s.pin.sub.active)
}

// refuseTrash answers a command that did not go to the trash.
func (s *session) refuseTrash(j *trashJob, text string) {
	s.note(j.frame, j.cmd, j.rule, denied, "")
	s.refuseNow(j.cmd, resp.AppendError(nil, text))
}

// flushes says what a flush empties, in the words of flush.lua.
func (s *session) flushes(cmd *policy.Command, args [][]byte) string {
	switch {
	case strings.HasPrefix(cmd.Name, "flush") && len(args) > 1 && !flushOption(args):
		return "syntax"
	case cmd.Name == "flushall":
		return "all"
	case s.held&holdMulti != 0 || s.ownLinkOnly():
		return "current"
	}
	return strconv.Itoa(int(s.db))
}

// trashMeta is the part of an entry that the proxy knows.
func (s *session) trashMeta(cmd *policy.Command, args [][]byte, r *policy.Rule, mark string) string {
	command := string(short(bytes.Join(args, []byte(" "))))
	switch cmd.Name {
	case "set", "restore", "restore-asking": // values are the application's
		command = describeCommand(cmd, args)
	}
	text, err := json.Marshal(trashEntry{
		User: s.ident.userName(), Addr: s.conn.RemoteAddr(), Name: s.name,
		Command: command, Rule: r.Name, Mark: mark,
	})
	if err != nil {
		return "{}" // strings and numbers: it cannot fail
	}
	return string(text)
}

// flushOption reports whether the arguments of a flush are ones that every server takes.
func flushOption(args [][]byte) bool {
	return len(args) == 2 && (resp.EqualFold(args[1], "sync") || resp.EqualFold(args[1], "async"))
}

// eval is the command that moves aside; form is what the reply is to be.
func (j *trashJob) eval(s *session, form string) []string {
	keep := strconv.FormatInt(j.rule.Keep.Milliseconds(), 10)
	nonce := "holdfast:trash:" + strconv.FormatUint(s.id, 16) + ":" +
		strconv.FormatInt(time.Now().UnixNano(), 16) + ":"
	if j.keyed {
		return j.evalKeys(keep, nonce, form)
	}
	return j.plan.eval(scriptFlush, j.what, j.meta, keep, nonce,
		textTrashFull(j.name, j.rule.Name), form)
}

// trashFlush moves databases aside by the control user's link.
func (s *session) trashFlush(j *trashJob) {
	s.matchAgain(j.cmd, j.frame.Args)
	defer s.forgetDue()
	s.askString(s.w.privileged(), j.cmd, j.eval(s, "id"), func(reply []byte, broken bool) {
		switch v, _, err := resp.Parse(reply); {
		case broken:
			s.answerNow(bytes.Clone(reply))
		case isError(reply, false):
			s.refuseTrash(j, j.refusal(reply))
		case err != nil || len(v.Elems) != 2:
			s.refuseTrash(j, textTrashFailed(j.name, j.rule.Name, "no id"))
		default:
			s.trashed(j, v.Elems[0].Int, &v.Elems[1])
			s.answerNow(j.reply(&v.Elems[1], int(s.proto)))
		}
	})
}

// trashed tells of a new entry; id 0 means that there was nothing to keep.
func (s *session) trashed(j *trashJob, id int64, v *resp.Value) {
	ref := ""
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
	s.note(j.frame, j.cmd, j.rule, trashed, ref)
}

// refusal is what a client is told of a script's error. Codes of the server's own (READONLY, BUSY,
// MISCONF) mean what they mean for any write. Of a command about single keys, ERR is the server's
// answer to it, but where it speaks of the script.
func (j *trashJob) refusal(reply []byte) string {
	text := string(trimCRLF(reply[1:]))
	own := strings.HasPrefix(text, "ERR") && !strings.Contains(text, "script")
	if j.keyed && own || text == "ERR syntax error" || !bytes.HasPrefix(reply, []byte("-ERR")) &&
		!bytes.HasPrefix(reply, []byte("-NOPERM")) {
		return text
	}
	return textTrashFailed(j.name, j.rule.Name, text)
}

// trashOnOwnLink sends the script by the session's own link, in place of the command: in a
// transaction, it is carried out at EXEC. The server checks the client's user.
func (s *session) trashOnOwnLink(j *trashJob) {
	l, cmd := s.pin, s.w.command(j.cmd.Name)
	if j.mark == "" {
		s.note(j.frame, cmd, j.rule, trashed, "")
	} else {
		s.noteAtExec(j, cmd)
	}
	l.send(resp.AppendCommandStrings(nil, j.eval(s, "ok")...))
	s.deleting = j.gone
	defer func() { s.deleting = nil }()
	if s.held&holdMulti == 0 {
		s.matchAgain(cmd, j.frame.Args)
		defer s.forgetDue()
	}
	if !l.sub.active || s.muted != replyOn {
		s.noteSent(l, cmd, modeForward, nil)
		return
	}
	s.noteSent(l, cmd, modeCall, &call{done: func(reply []byte, _ bool) {
		if bytes.HasPrefix(reply, []byte("-ERR Can't execute")) { // as a subscriber
			reply = bytes.Replace(reply, []byte("'eval'"), []byte("'"+j.name+"'"), 1)
		}
		s.deliver(reply)
	}})
}
