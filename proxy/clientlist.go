package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// CLIENT LIST and its kin, as a client would see them without a proxy: one line for each session,
// none for the proxy's links. Lines of sessions that hold a pinned link are the server's own, with
// the id, address and name of the client; the others are made after the line of the shared link that
// carries the session, or of the connection that asks, so that they have the fields of the server's
// version.

// clientID carries out CLIENT ID: the server decides whether the user may ask.
func (s *session) clientID(c *resp.Command, cmd *policy.Command) bool {
	return s.askAs(c, cmd, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = resp.AppendInt(nil, int64(s.id))
		}
		s.deliver(reply)
	})
}

// clientList carries out CLIENT LIST, INFO, GETREDIR and TRACKINGINFO.
func (s *session) clientList(c *resp.Command, cmd *policy.Command) bool {
	l := s.askLink()
	if l == nil {
		return false
	}
	args := cloneArgs(c.Args)
	ids, byID := listedIDs(args)
	ask := args
	if byID {
		ask = args[:2] // the ids are the proxy's: filtered here
	}
	s.ask(l, cmd, ask, func(reply []byte, broken bool) {
		if isError(reply, broken) {
			s.deliver(reply)
			return
		}
		reply = bytes.Clone(reply)
		self := l.serverID
		s.waitCallOn = true
		s.w.takeCensus(func(cs *census) {
			s.waitCallOn = false
			if !s.closed {
				s.deliver(s.translate(reply, cmd.Name, args, ids, byID, cs, self))
			}
			s.w.wakeUp(s)
		})
	})
	return true
}

// listedIDs returns the ids of CLIENT LIST ID …; ok is false where the server is to look at the
// arguments itself.
func listedIDs(args [][]byte) (ids map[uint64]bool, ok bool) {
	if len(args) < 4 || !resp.EqualFold(args[1], "list") || !resp.EqualFold(args[2], "id") {
		return nil, false
	}
	ids = map[uint64]bool{}
	for _, a := range args[3:] {
		n, err := strconv.ParseInt(string(a), 10, 64)
		if err != nil || n < 1 {
			return nil, false
		}
		ids[uint64(n)] = true
	}
	return ids, true
}

// translate turns the server's reply into the clients' view.
func (s *session) translate(reply []byte, command string, args [][]byte, ids map[uint64]bool,
	byID bool, cs *census, self int64) []byte {
	v, _, err := resp.Parse(reply)
	if err != nil {
		return reply
	}
	switch command {
	case "client|getredir", "client|trackinginfo":
		return s.redirect.translate(reply)
	case "client|info":
		line := s.ownLine(trimCRLF(v.Str), cs)
		return textReply(v.Type, append(line, '\n'))
	}
	withIdle := len(args) == 2 || byID
	if len(args) == 4 && resp.EqualFold(args[2], "type") {
		withIdle = resp.EqualFold(args[3], "normal")
	}
	lines := s.listLines(trimCRLF(v.Str), cs, self, withIdle)
	var out []byte
	for _, line := range lines {
		if !byID || ids[uint64(lineID(line))] {
			out = append(append(out, line...), '\n')
		}
	}
	return textReply(v.Type, out)
}

// translate puts the session's id where a reply has that of its link.
func (r redirect) translate(reply []byte) []byte {
	if r.serverID == 0 {
		return reply
	}
	old := strconv.AppendInt([]byte(":"), r.serverID, 10)
	own := strconv.AppendUint([]byte(":"), r.id, 10)
	return bytes.Replace(reply, append(old, '\r'), append(own, '\r'), 1)
}

// listLines returns the lines of CLIENT LIST in the clients' view.
func (s *session) listLines(text []byte, cs *census, self int64, withIdle bool) [][]byte {
	var lines [][]byte
	var mould []byte
	listed := map[uint64]bool{}
	byLink := map[int64][]byte{}
	for _, line := range bytes.Split(text, []byte("\n")) {
		id := lineID(line)
		byLink[id] = line
		if mould == nil || id == self && id != 0 || isAsking(line) {
			mould = line
		}
		switch o := cs.byServerID(id); {
		case o != nil:
			listed[o.id] = true
			lines = append(lines, rewriteLine(line, o.identityFields()))
		case len(line) > 0 && !cs.ours(line):
			lines = append(lines, line)
		}
	}
	for i := range cs.sessions {
		o := &cs.sessions[i]
		switch {
		case !withIdle || listed[o.id] || o.serverID != 0:
		case o.id == s.id:
			lines = append(lines, s.ownLine(mould, cs))
		case byLink[o.sharedID] != nil:
			lines = append(lines, rewriteLine(byLink[o.sharedID], o.idleFields()))
		default:
			lines = append(lines, rewriteLine(mould, o.idleFields()))
		}
	}
	return lines
}

// isAsking finds the line of the connection by which CLIENT LIST was asked.
func isAsking(line []byte) bool { return string(field(line, "cmd")) == "client|list" }

// ownLine is the asking session's line, made after that of the link by which it asked.
func (s *session) ownLine(line []byte, cs *census) []byte {
	v := s.view()
	fields := v.identityFields()
	if s.held == 0 {
		fields["db"] = strconv.Itoa(int(s.db))
		fields["resp"] = strconv.Itoa(int(s.proto))
	}
	return rewriteLine(line, fields)
}

// textReply encodes text as the server did: a bulk or a verbatim string.
func textReply(typ byte, text []byte) []byte {
	if typ == '=' {
		return resp.AppendVerbatim(nil, 3, "txt", string(text))
	}
	return resp.AppendBulk(nil, text)
}

// info carries out INFO. The number of connected clients is the clients' own: sessions instead of
// links.
func (s *session) info(c *resp.Command, cmd *policy.Command) bool {
	l := s.dataLink()
	if l == nil {
		return false
	}
	return s.sendTo(l, c, cmd, modeCall, &call{done: func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = s.w.editInfo(reply)
		}
		s.deliver(reply)
	}})
}

// editInfo makes the reply to INFO that of the proxy.
func (w *worker) editInfo(reply []byte) []byte { return w.srv.rewriteInfo(w.trash.hideInfo(reply)) }

// editInfos does so with some of the replies that the reply to EXEC consists of.
func (w *worker) editInfos(reply []byte, at []int) []byte {
	head := bytes.IndexByte(reply, '\n') + 1
	if reply[0] != '*' || head == 0 {
		return reply
	}
	out, rest := append([]byte(nil), reply[:head]...), reply[head:]
	for i := 0; len(rest) > 0; i++ {
		var scan resp.ReplyScanner
		n, done, err := scan.Scan(rest)
		if err != nil || !done {
			return reply
		}
		part := rest[:n]
		if rest = rest[n:]; slices.Contains(at, i) && part[0] != '-' {
			part = w.editInfo(part)
		}
		out = append(out, part...)
	}
	return out
}

// dataLink is where the session's next ordinary command goes; nil means that it has to wait.
func (s *session) dataLink() *link {
	l := s.cur
	switch {
	case s.held != 0 || l != nil && l == s.pin:
		return s.pin
	case l == nil:
		return s.lane(laneData).pick(s.w)
	case l.lane == nil || l.lane.key.kind != laneData || l.lane.ident != s.ident:
		s.wait = waitOrder
		return nil
	}
	return l
}

// login carries out commands that can change whether a client must log in; see renewAnonymous.
func (s *session) login(c *resp.Command, cmd *policy.Command) bool {
	l := s.dataLink()
	if l == nil {
		return false
	}
	s.whenIdle = append(s.whenIdle, s.w.srv.guard.wake) // the guard copies the user default
	if !closesDoor(c.Args) {
		return s.sendTo(l, c, cmd, modeForward, nil)
	}
	return s.sendTo(l, c, cmd, modeChecked, &call{done: func(reply []byte, broken bool) {
		if broken || !isError(reply, false) {
			s.w.srv.each((*worker).renewAnonymous)
		}
	}})
}

// closesDoor reports whether a command may make the server ask for a password that did not before.
func closesDoor(args [][]byte) bool {
	switch {
	case len(args) < 3:
		return true // ACL LOAD
	case resp.EqualFold(args[0], "acl"):
		return resp.EqualFold(args[2], "default")
	}
	for i := 2; i+1 < len(args); i += 2 {
		if resp.EqualFold(args[i], "requirepass") && len(args[i+1]) > 0 {
			return true
		}
	}
	return false
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
