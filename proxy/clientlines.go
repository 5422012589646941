package proxy

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"

	"holdfast/proxy/resp"
)

// The list of all clients, as CLIENT LIST shows it to clients of the proxy.

// clientLine is a client as other clients see it: a line of CLIENT LIST.
type clientLine struct {
	text    []byte
	session *sessionView // nil: no session's connection
	own     bool         // a connection of the proxy itself
}

func (l *clientLine) id() uint64 {
	if l.session != nil {
		return l.session.id
	}
	return uint64(lineID(l.text))
}

// roster is the conversation that gets the list of all clients for a session's command. work is run
// on the lines outside the loop; done gets them, or the reply that refused them.
type roster struct {
	s    *session
	work func([]clientLine)
	done func([]clientLine, []byte)
}

// ask fetches the list by l, which may be the control user's link.
func (r *roster) ask(l *link) { r.askBy(l, r.done) }

// askEveryone is ask by the control user's link, or by l if that user may not list clients.
func (r *roster) askEveryone(l *link) {
	r.askBy(r.s.w.privileged(), func(lines []clientLine, refused []byte) {
		if refused != nil {
			r.ask(l)
			return
		}
		r.done(lines, nil)
	})
}

func (r *roster) askBy(l *link, done func([]clientLine, []byte)) {
	r.s.ask(l, nil, [][]byte{[]byte("cLiEnT"), []byte("lIsT")}, func(reply []byte, broken bool) {
		v, _, err := resp.Parse(reply)
		if isError(reply, broken) || err != nil {
			done(nil, bytes.Clone(reply))
			return
		}
		r.read(v.Str, done)
	})
}

// read turns the server's CLIENT LIST into lines as clients see them. The lines are made outside the
// loop, where work runs, too.
func (r *roster) read(text []byte, done func([]clientLine, []byte)) {
	s := r.s
	text = bytes.Clone(trimCRLF(text))
	s.calling = true
	s.gather(int64(len(text)))
	s.w.takeCensus(func(cs *census) {
		v := viewer{id: s.id, cmd: "client|list"}
		if s.last != nil {
			v.cmd = s.last.Name
		}
		var lines []clientLine
		s.w.beside(func() {
			lines = v.lines(text, cs)
			r.work(lines)
		}, func() {
			s.called(func() {
				s.gather(-int64(len(text)))
				done(lines, nil)
			})
		})
	})
}

// viewer is the session that will see the lines.
type viewer struct {
	id  uint64
	cmd string // the command that asks
}

// yieldLines is the number of lines after which the processor is yielded to the loops.
const yieldLines = 64

// lines turns the server's CLIENT LIST into that of clients: foreign connections, the proxy's own,
// then the sessions in the order of arrival.
func (by viewer) lines(text []byte, cs *census) []clientLine {
	var lines []clientLine
	var asking []byte
	pinned, byLink := map[uint64][]byte{}, map[int64][]byte{}
	links := cs.pinnedLinks()
	for _, line := range bytes.Split(text, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		byLink[lineID(line)] = line
		if asking == nil || isAsking(line) && cs.ours(line) {
			asking = line
		}
		if v := links.of(line); v != nil {
			pinned[v.id] = line
		} else {
			lines = append(lines, clientLine{text: line, own: cs.ours(line)})
		}
	}
	for i, v := range cs.inOrder() {
		if i%yieldLines == 0 {
			runtime.Gosched()
		}
		lines = append(lines, clientLine{session: v, text: by.sessionLine(v, pinned[v.id],
			byLink[v.sharedID], asking)})
	}
	return lines
}

// sessionLine makes a session's line from that of its pinned link; without one from that of its
// shared link, or of the asking connection.
func (by viewer) sessionLine(v *sessionView, pinned, shared, asking []byte) []byte {
	fields := v.identityFields()
	switch {
	case pinned != nil:
		fields["flags"] = socketFlag(string(field(pinned, "flags")), v.addr)
	case shared != nil:
		pinned, fields = shared, v.idleFields()
	default:
		pinned, fields = asking, v.idleFields()
	}
	if v.id == by.id {
		fields["cmd"], fields["idle"] = by.cmd, "0"
		for _, key := range []string{"qbuf", "qbuf-free", "argv-mem"} {
			fields[key] = string(field(asking, key))
		}
	}
	return rewriteLine(pinned, fields)
}

// isAsking recognizes the line of the connection that sent CLIENT LIST.
func isAsking(line []byte) bool { return string(field(line, "cmd")) == "client|list" }

// ownLine makes the line of s, which asks, from that of the asking link.
func ownLine(s *session, line []byte) []byte {
	v := s.view()
	fields := v.identityFields()
	if !s.keepsLink() {
		fields["db"] = strconv.Itoa(int(s.db))
		fields["resp"] = strconv.Itoa(int(s.proto))
	}
	fields["flags"] = socketFlag(string(field(line, "flags")), v.addr)
	return rewriteLine(line, fields)
}

// socketFlag sets or clears the flag of a unix socket, by the client's connection instead of the
// link's.
func socketFlag(flags, addr string) string {
	flags = strings.Trim(strings.ReplaceAll(flags, "U", ""), "N")
	if strings.HasPrefix(addr, "/") {
		flags += "U"
	}
	if flags == "" {
		return "N"
	}
	return flags
}
