package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// Between MULTI and EXEC commands about connections are queued like any other, and the server
// answers them for the link. So their elements of EXEC's reply are replaced by the client's view of
// itself and of other clients.
//
// CLIENT LIST, KILL and UNBLOCK need the list of all clients. It is fetched just before EXEC is
// sent, since EXEC's reply cannot wait for it. KILL and UNBLOCK are queued in a form that selects
// no client, which the server checks, and are carried out after EXEC.

// execViews is the list of such commands in a transaction.
type execViews struct {
	list  []execView
	lines []clientLine // all clients, as of just before EXEC
	known bool         // lines, or why, is set
	why   []byte       // the error reply instead of lines; nil: none
}

// execView is one such command.
type execView struct {
	at     int // its place in EXEC's reply
	cmd    *policy.Command
	args   [][]byte
	filter *clientFilter // CLIENT KILL's and LIST's
	old    bool          // CLIENT KILL addr:port
	to     redirect      // CLIENT TRACKING's
	sel    selection     // CLIENT KILL's
	text   []byte        // CLIENT LIST's
}

// needsLines reports whether editing the reply to EXEC needs the list of clients.
func (v *execViews) needsLines() bool {
	return !v.known && slices.ContainsFunc(v.list, execView.needsLines)
}

func (e execView) needsLines() bool {
	switch e.cmd.Name {
	case "client|list", "client|kill", "client|unblock":
		return true
	}
	return false
}

// queueView sends such a command between MULTI and EXEC.
func (f *frame) queueView() next {
	s, cmd := f.s, f.cmd
	e := execView{at: s.tx.queued, cmd: cmd, args: cloneArgs(f.Args)}
	switch f.b {
	case clientKill:
		var check [][]byte
		e.filter, check, e.old = s.w.killArgs(e.args)
		f.Command = resp.Command{Args: check, Inline: true}
	case clientUnblock:
		if _, ok := sessionID(at1(e.args, 2)); ok {
			check := slices.Clone(e.args)
			check[2] = []byte(impossibleID)
			f.Command = resp.Command{Args: check, Inline: true}
		}
	case commandLog:
		if get := wholeLogOfLen(cmd, e.args); get != nil {
			f.Command = resp.Command{Args: get, Inline: true}
		}
	case clientTracking:
		at := redirectAt(e.args)
		if id, ok := sessionID(at1(e.args, at)); at > 0 && ok {
			if n := f.sessionKnown(id, s.linkOf); n != goOn {
				return n
			}
			e.to = s.again.to
			check := slices.Clone(e.args)
			check[at] = linkID(e.to.serverID)
			f.Command = resp.Command{Args: check, Inline: true}
		}
	}
	if n := f.sendTo(s.pin, modeForward, nil); n != handled {
		return n
	}
	s.tx.views.list = append(s.tx.views.list, e)
	s.tx.noteSent(f)
	return handled
}

// sessionID reads the id of a session; false: no session has such an id.
func sessionID(arg []byte) (uint64, bool) {
	id, err := strconv.ParseUint(string(arg), 10, 64)
	return id, err == nil && id >= idBase
}

// redirectAt returns the index of the id of CLIENT TRACKING's REDIRECT; 0: none.
func redirectAt(args [][]byte) int {
	for i := 3; i+1 < len(args); i++ {
		if resp.EqualFold(args[i], "redirect") {
			return i + 1
		}
	}
	return 0
}

// sessionKnown looks up, by find, the link of the session with that id.
func (f *frame) sessionKnown(id uint64, find func(id uint64, done func(serverID int64))) next {
	s := f.s
	if s.again.to.id == id {
		return goOn
	}
	s.calling = true
	find(id, func(serverID int64) {
		s.calling = false
		s.again.to = redirect{id, serverID}
		s.w.wakeUp(s)
	})
	return waitCall
}

// viewsKnown fetches the list of clients, if EXEC's reply needs it. EXEC waits for it.
func (f *frame) viewsKnown() next {
	s := f.s
	views := &s.tx.views
	if f.cmd.Name != "exec" || !views.needsLines() {
		return goOn
	}
	if s.outstanding > 0 {
		return waitOrder
	}
	work := func(lines []clientLine) {
		for i := range views.list {
			views.list[i].choose(s.w, lines, s.id)
		}
	}
	s.askClients(s.w.privileged(), work, func(lines []clientLine, why []byte) {
		views.lines, views.why, views.known = lines, why, true
	})
	return waitCall
}

// choose evaluates the filter of a command about other clients. It may run outside the loop.
func (e *execView) choose(w *worker, lines []clientLine, self uint64) {
	switch e.cmd.Name {
	case "client|kill":
		e.sel = e.filter.choose(lines, self)
	case "client|list":
		if f, inOrder := w.listFilter(e.args); f.unknown == 0 {
			e.text = f.list(lines, self, inOrder)
		}
	}
}

// editExec replaces the elements of EXEC's reply that describe links.
func (s *session) editExec(reply []byte, views execViews) []byte {
	parts, ok := elements(reply)
	if !ok {
		return reply
	}
	out := bytes.Clone(reply[:bytes.IndexByte(reply, '\n')+1])
	for i, part := range parts {
		for len(views.list) > 0 && views.list[0].at == i {
			part = s.editView(part, &views.list[0], &views)
			views.list = views.list[1:]
		}
		out = append(out, part...)
	}
	return out
}

// editView returns the reply to one command in the client's view.
func (s *session) editView(part []byte, e *execView, views *execViews) []byte {
	switch {
	case e.cmd.Name == "select":
		return s.w.trash.OutOfRange(e.args, part)
	case part[0] == '-' && !(e.old && isNoSuchClient(part)):
		return part
	case views.why != nil && e.needsLines():
		return views.why
	}
	switch e.cmd.Name {
	case "info":
		return s.w.editInfo(part)
	case "client|id":
		return resp.AppendInt(nil, int64(s.id))
	case "slowlog|reset", "commandlog|reset":
		s.w.srv.logs.forget(logName(e.cmd, e.args))
	case "slowlog|get", "commandlog|get":
		return s.w.srv.editLog(logName(e.cmd, e.args), part, -1)
	case "slowlog|len", "commandlog|len":
		if n, ok := s.w.srv.clientsEntries(logName(e.cmd, e.args), part); ok {
			return resp.AppendInt(nil, int64(n))
		}
	case "hello":
		h := parseHello(e.args)
		s.apply(h)
		if s.pin != nil {
			s.pin.follow(h)
		}
		return s.rewriteHello(part)
	case "client|setname", "client|setinfo":
		s.noteName(e.args)
		if s.pin != nil {
			applyName(e.args, &s.pin.name, &s.pin.lib)
		}
	case "client|getname":
		if s.name == "" {
			return resp.AppendNull(nil, int(s.proto))
		}
		return resp.AppendBulkString(nil, s.name)
	case "client|getredir", "client|trackinginfo":
		return s.redirect.translate(part)
	case "client|tracking":
		if e.to.id != 0 {
			s.redirect = e.to
		}
	case "client|info", "client|list":
		return s.editLines(part, e)
	case "client|kill":
		return s.killAtExec(e)
	case "client|unblock":
		return s.unblockAtExec(part, e, views.lines)
	}
	return part
}

// editLines returns the reply to CLIENT INFO or LIST.
func (s *session) editLines(part []byte, e *execView) []byte {
	v, _, err := resp.Parse(part)
	if err != nil {
		return part
	}
	if e.cmd.Name == "client|info" {
		return textReply(v.Type, append(s.ownLine(trimCRLF(v.Str)), '\n'))
	}
	if f, _ := s.w.listFilter(e.args); f.unknown != 0 {
		return resp.AppendError(nil, textSyntax)
	}
	return textReply(v.Type, e.text)
}

// killAtExec carries out a CLIENT KILL that EXEC has executed. Connections that are no sessions are
// killed after the reply, which counts those that existed just before EXEC.
func (s *session) killAtExec(e *execView) []byte {
	if e.filter.unknown != 0 {
		return resp.AppendError(nil, textSyntax)
	}
	s.killAside(&e.sel)
	return killReply(e.sel.n+len(e.sel.others), e.old)
}

// unblockAtExec carries out a CLIENT UNBLOCK of a session that EXEC has executed.
func (s *session) unblockAtExec(part []byte, e *execView, lines []clientLine) []byte {
	id, ok := sessionID(at1(e.args, 2))
	for i := range lines {
		v := lines[i].session
		if !ok || v == nil || v.id != id || bytes.IndexByte(field(lines[i].text, "flags"), 'b') < 0 {
			continue
		}
		v.worker.unblockSession(id, string(at1(e.args, 3)))
		return resp.AppendInt(nil, 1)
	}
	return part
}

// unblockSession asks the server to unblock the link of a blocked session. Any goroutine may call
// it.
func (w *worker) unblockSession(id uint64, how string) {
	w.loop.Post(func() {
		s := w.sessions[id]
		if s == nil || !s.blocked() || s.pin.serverID == 0 {
			return
		}
		args := []string{"cLiEnT", "uNbLoCk", strconv.FormatInt(s.pin.serverID, 10)}
		if how != "" {
			args = append(args, how)
		}
		w.askPrivileged(args, w.warnRefused("CLIENT UNBLOCK"))
	})
}

// warnRefused logs that the server refused the control user a command that it allows a client's
// user.
func (w *worker) warnRefused(what string) func([]byte, bool) {
	return func(reply []byte, broken bool) {
		if isError(reply, broken) {
			w.log.Warn("a client's command was not carried out: the server refused it to the user of "+
				"the control connection", "command", what, "reply", string(trimCRLF(reply)))
		}
	}
}
