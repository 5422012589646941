package proxy

import (
	"bytes"
	"strconv"

	"holdfast/proxy/resp"
)

// CLIENT LIST and related commands, as a client would see them without a proxy: one line for each
// session, none for the proxy's links. The line of a session with a pinned link is the server's
// own, with the id, address and name of the client. The other lines are made from the line of the
// session's shared link, or of the asking connection, so that they have the fields of the server's
// version. Their buffer fields are those of that connection.

// clientID carries out CLIENT ID: the server decides whether the user may ask.
func (f *frame) clientID() next {
	s := f.s
	return f.askAs(func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = resp.AppendInt(nil, int64(s.id))
		}
		s.deliver(reply)
	})
}

// clientList carries out CLIENT LIST, INFO, GETREDIR and TRACKINGINFO. The server first answers the
// client's unchanged arguments, so that it refuses unknown ones.
func (f *frame) clientList() next {
	s, cmd := f.s, f.cmd
	l, n := s.askLink()
	if n != goOn {
		return n
	}
	args := cloneArgs(f.Args)
	f.ask(l, args, func(reply []byte, broken bool) {
		v, _, err := resp.Parse(reply)
		switch {
		case isError(reply, broken) || err != nil:
			s.deliver(reply)
		case cmd.Name == "client|getredir" || cmd.Name == "client|trackinginfo":
			s.deliver(s.redirect.translate(reply))
		case cmd.Name == "client|info":
			s.deliver(textReply(v.Type, append(ownLine(s, trimCRLF(v.Str)), '\n')))
		default:
			listClients(s, l, args, v)
		}
	})
	return handled
}

// listClients answers a CLIENT LIST that the server has accepted. Without a filter the server's
// answer is the complete list.
func listClients(s *session, l *link, args [][]byte, accepted resp.Value) {
	f, inOrder := s.w.listFilter(args)
	if f.unknown != 0 {
		s.deliver(resp.AppendError(nil, textSyntax))
		return
	}
	var reply []byte
	typ, id := accepted.Type, s.id
	list := func(lines []clientLine) { reply = textReply(typ, f.list(lines, id, inOrder)) }
	r := roster{s, list, func(_ []clientLine, refused []byte) {
		if refused != nil {
			reply = refused
		}
		s.deliver(reply)
	}}
	if len(args) == 2 {
		r.read(accepted.Str, r.done)
		return
	}
	r.ask(l)
}

// listFilter reads the arguments of CLIENT LIST. inOrder is the ids of the older form of ID, which
// has a line for each of them; nil: another form.
func (w *worker) listFilter(args [][]byte) (f *clientFilter, inOrder []uint64) {
	if w.severalIDs() || len(args) < 4 || !resp.EqualFold(args[2], "id") {
		return parseClientFilter(args, false, w.severalIDs()), nil
	}
	for _, a := range args[3:] {
		id, _ := strconv.ParseUint(string(a), 10, 64)
		inOrder = append(inOrder, id)
	}
	return &clientFilter{}, inOrder
}

// list returns the lines that the filter selects, as CLIENT LIST shows them. The proxy's own
// connections are never shown, even if the filter names them.
func (f *clientFilter) list(lines []clientLine, self uint64, inOrder []uint64) []byte {
	var out []byte
	byID := map[uint64][]byte{}
	for i := range lines {
		switch l := &lines[i]; {
		case l.own || !f.matches(l, self):
		case inOrder != nil:
			byID[l.id()] = l.text
		default:
			out = append(append(out, l.text...), '\n')
		}
	}
	for _, id := range inOrder {
		if text := byID[id]; text != nil {
			out = append(append(out, text...), '\n')
		}
	}
	return out
}

// translate replaces the link's id in a reply by the session's.
func (r redirect) translate(reply []byte) []byte {
	if r.serverID == 0 {
		return reply
	}
	old := strconv.AppendInt([]byte(":"), r.serverID, 10)
	own := strconv.AppendUint([]byte(":"), r.id, 10)
	return bytes.Replace(reply, append(old, '\r'), append(own, '\r'), 1)
}

// textReply encodes text in the server's type: a bulk or a verbatim string.
func textReply(typ byte, text []byte) []byte {
	if typ == '=' {
		return resp.AppendVerbatim(nil, 3, "txt", string(text))
	}
	return resp.AppendBulk(nil, text)
}

// info carries out INFO. The number of connected clients is the clients' own: sessions instead of
// links.
func (f *frame) info() next {
	s := f.s
	l, n := s.dataLink()
	if n != goOn {
		return n
	}
	return f.sendTo(l, modeCall, &call{done: func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = s.w.editInfo(reply)
		}
		s.deliver(reply)
	}})
}

// editInfo makes the reply to INFO that of the proxy.
func (w *worker) editInfo(reply []byte) []byte { return w.srv.rewriteInfo(w.hideInfo(reply)) }

// changesLogin carries out commands that can change users and passwords.
func (f *frame) changesLogin() next {
	s := f.s
	l, n := s.dataLink()
	if n != goOn {
		return n
	}
	if n := f.sendTo(l, modeForward, nil); n != handled {
		return n
	}
	if args := cloneArgs(f.Args); f.cmd.Name == "config|set" {
		s.whenIdle = append(s.whenIdle, func() {
			if s.w.srv.logs.noteConfigSet(args) {
				s.w.beforeOwn(func() {}) // a look
			}
		})
	}
	// The guard copies the user default, and the control user's login may have changed.
	s.whenIdle = append(s.whenIdle, s.w.srv.guard.Wake, s.w.up.DoubtLogin)
	return handled
}

// rewriteInfo corrects connected_clients in an INFO reply.
func (srv *Server) rewriteInfo(reply []byte) []byte {
	mark := []byte("connected_clients:")
	i := bytes.Index(reply, mark)
	if i < 0 {
		return reply
	}
	v, _, err := resp.Parse(reply)
	if err != nil {
		return reply
	}
	i = bytes.Index(v.Str, mark) + len(mark)
	j := bytes.IndexByte(v.Str[i:], '\r')
	n, err := strconv.ParseInt(string(v.Str[i:i+max(j, 0)]), 10, 64)
	if j < 0 || err != nil {
		return reply
	}
	n += srv.sessionCount.Load() - srv.linkCount.Load() - int64(len(srv.up.Load().ControlAddrs()))
	text := append([]byte(nil), v.Str[:i]...)
	text = strconv.AppendInt(text, max(n, 1), 10)
	return textReply(v.Type, append(text, v.Str[i+j:]...))
}
