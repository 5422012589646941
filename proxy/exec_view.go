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
			if n := f.sessionKnown(id, s.w.taker.linkOf); n != goOn {
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
	r := roster{s, work, func(lines []clientLine, why []byte) {
		views.lines, views.why, views.known = lines, why, true
	}}
	r.ask(s.w.privileged())
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

// execEdit is the editing of one reply to EXEC for its session.
type execEdit struct {
	s     *session
	views execViews
}

// reply replaces the elements of EXEC's reply that describe links.
func (x *execEdit) reply(reply []byte) []byte {
	parts, ok := elements(reply)
	if !ok {
		return reply
	}
	out := bytes.Clone(reply[:bytes.IndexByte(reply, '\n')+1])
	for i, part := range parts {
		for len(x.views.list) > 0 && x.views.list[0].at == i {
			part = x.element(part, &x.views.list[0])
			x.views.list = x.views.list[1:]
		}
		out = append(out, part...)
	}
	return out
}

// element returns the reply to one command in the client's view.
func (x *execEdit) element(part []byte, e *execView) []byte {
	switch {
	case e.cmd.Name == "select":
		return x.s.w.trash.OutOfRange(e.args, part)
	case part[0] == '-' && !(e.old && isNoSuchClient(part)):
		return part
	case x.views.why != nil && e.needsLines():
		return x.views.why
	}
	if edit := execEdits[e.cmd.Name]; edit != nil {
		return edit(x, part, e)
	}
	return part
}

// execEdits has the commands whose replies differ for clients.
var execEdits = map[string]func(x *execEdit, part []byte, e *execView) []byte{
	"info":                func(x *execEdit, part []byte, _ *execView) []byte { return x.s.w.editInfo(part) },
	"client|id":           func(x *execEdit, _ []byte, _ *execView) []byte { return resp.AppendInt(nil, int64(x.s.id)) },
	"slowlog|reset":       (*execEdit).logReset,
	"commandlog|reset":    (*execEdit).logReset,
	"slowlog|get":         (*execEdit).logGet,
	"commandlog|get":      (*execEdit).logGet,
	"slowlog|len":         (*execEdit).logLen,
	"commandlog|len":      (*execEdit).logLen,
	"hello":               (*execEdit).hello,
	"client|setname":      (*execEdit).named,
	"client|setinfo":      (*execEdit).named,
	"client|getname":      (*execEdit).name,
	"client|getredir":     (*execEdit).redirect,
	"client|trackinginfo": (*execEdit).redirect,
	"client|tracking":     (*execEdit).tracking,
	"client|info":         (*execEdit).lines,
	"client|list":         (*execEdit).lines,
	"client|kill":         (*execEdit).kill,
	"client|unblock":      (*execEdit).unblock,
}

func (x *execEdit) logReset(part []byte, e *execView) []byte {
	x.s.w.srv.logs.forget(logName(e.cmd, e.args))
	return part
}

func (x *execEdit) logGet(part []byte, e *execView) []byte {
	return x.s.w.srv.editLog(logName(e.cmd, e.args), part, -1)
}

func (x *execEdit) logLen(part []byte, e *execView) []byte {
	if n, ok := x.s.w.srv.clientsEntries(logName(e.cmd, e.args), part); ok {
		return resp.AppendInt(nil, int64(n))
	}
	return part
}

func (x *execEdit) hello(part []byte, e *execView) []byte {
	h := parseHello(e.args)
	x.s.apply(h)
	if x.s.pin != nil {
		x.s.pin.follow(h)
	}
	return x.s.rewriteHello(part)
}

func (x *execEdit) named(part []byte, e *execView) []byte {
	x.s.noteName(e.args)
	if l := x.s.pin; l != nil {
		applyName(e.args, &l.name, &l.lib)
	}
	return part
}

func (x *execEdit) name([]byte, *execView) []byte {
	if x.s.name == "" {
		return resp.AppendNull(nil, int(x.s.proto))
	}
	return resp.AppendBulkString(nil, x.s.name)
}

func (x *execEdit) redirect(part []byte, _ *execView) []byte { return x.s.redirect.translate(part) }

func (x *execEdit) tracking(part []byte, e *execView) []byte {
	if e.to.id != 0 {
		x.s.redirect = e.to
	}
	return part
}

// lines returns the reply to CLIENT INFO or LIST.
func (x *execEdit) lines(part []byte, e *execView) []byte {
	v, _, err := resp.Parse(part)
	if err != nil {
		return part
	}
	if e.cmd.Name == "client|info" {
		return textReply(v.Type, append(ownLine(x.s, trimCRLF(v.Str)), '\n'))
	}
	if f, _ := x.s.w.listFilter(e.args); f.unknown != 0 {
		return resp.AppendError(nil, textSyntax)
	}
	return textReply(v.Type, e.text)
}

// kill carries out a CLIENT KILL that EXEC has executed. Connections that are no sessions are
// killed after the reply, which counts those that existed just before EXEC.
func (x *execEdit) kill(_ []byte, e *execView) []byte {
	if e.filter.unknown != 0 {
		return resp.AppendError(nil, textSyntax)
	}
	e.sel.killAside(x.s)
	return killReply(e.sel.n+len(e.sel.others), e.old)
}

// unblock carries out a CLIENT UNBLOCK of a session that EXEC has executed.
func (x *execEdit) unblock(part []byte, e *execView) []byte {
	id, ok := sessionID(at1(e.args, 2))
	for i := range x.views.lines {
		line := &x.views.lines[i]
		v := line.session
		if !ok || v == nil || v.id != id || bytes.IndexByte(field(line.text, "flags"), 'b') < 0 {
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
