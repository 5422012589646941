package proxy

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/upstream"
)

// The server's SLOWLOG and COMMANDLOG contain the proxy's own commands, too. GET leaves them out,
// and LEN does not count them: the proxy reads the whole log, adds the entries that the logKeeper
// has kept, and passes on as many as the client asked for.

// commandLog carries out GET, LEN and RESET of SLOWLOG and COMMANDLOG.
func (f *frame) commandLog() next {
	s, cmd := f.s, f.cmd
	l, n := s.askLink()
	if n != goOn {
		return n
	}
	args := cloneArgs(f.Args)
	if get := wholeLogOfLen(cmd, args); get != nil {
		f.logLength(l, args, get)
		return handled
	}
	if strings.HasSuffix(cmd.Name, "|reset") {
		f.ask(l, args, func(reply []byte, broken bool) {
			if !isError(reply, broken) {
				s.w.srv.logs.forget(logName(cmd, args))
			}
			s.deliver(reply)
		})
		return handled
	}
	ask, most := args, -1
	if strings.HasSuffix(cmd.Name, "|get") {
		ask, most = wholeLog(args)
	}
	f.ask(l, ask, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			reply = s.w.srv.editLog(logName(cmd, args), reply, most)
		}
		s.deliver(reply)
	})
	return handled
}

// logName returns the log of a command.
func logName(cmd *policy.Command, args [][]byte) string {
	if strings.HasPrefix(cmd.Name, "commandlog|") {
		return strings.ToLower(string(args[len(args)-1]))
	}
	return "slow"
}

// wholeLog returns a GET for the whole log, and the number of entries that the client wants; -1:
// all. Arguments that the server would refuse stay unchanged.
func wholeLog(args [][]byte) (ask [][]byte, n int) {
	if len(args) < 3 {
		return append(args, []byte("-1")), 10
	}
	n, err := strconv.Atoi(string(args[2]))
	if err != nil || n < 0 {
		return args, -1
	}
	ask = slices.Clone(args)
	ask[2] = []byte("-1")
	return ask, n
}

// logLength answers LEN by a GET, whose entries can be counted. The GET takes the place of LEN in
// the log: a further entry of the proxy's would push out one of a client's. A user with permission
// for LEN only gets the server's number.
func (f *frame) logLength(l *link, args, get [][]byte) {
	s, cmd := f.s, f.cmd
	f.ask(l, get, func(reply []byte, broken bool) {
		n, ok := s.w.srv.clientsEntries(logName(cmd, args), reply)
		switch {
		case ok && !broken:
			s.deliver(resp.AppendInt(nil, int64(n)))
		case bytes.HasPrefix(reply, []byte("-NOPERM")):
			s.ask(l, nil, args, func(reply []byte, _ bool) { s.deliver(reply) })
		default:
			s.deliver(reply)
		}
	})
}

// wholeLogOfLen returns a GET for the whole log of a LEN; nil: cmd is not LEN, or the server would
// refuse its arguments.
func wholeLogOfLen(cmd *policy.Command, args [][]byte) [][]byte {
	if cmd.Name == "slowlog|len" && len(args) == 2 || cmd.Name == "commandlog|len" && len(args) == 3 {
		return append([][]byte{args[0], []byte("GET"), []byte("-1")}, args[2:]...)
	}
	return nil
}

// clientsEntries counts the entries of the clients in a reply to GET; false: it has none.
func (srv *Server) clientsEntries(log string, reply []byte) (n int, ok bool) {
	entries, ok := elements(reply)
	return len(srv.logs.view(log, entries)), ok
}

// editLog returns the reply to a GET without the proxy's own entries, at most n of them; below 0:
// all.
func (srv *Server) editLog(log string, reply []byte, n int) []byte {
	entries, ok := elements(reply)
	if !ok {
		return reply
	}
	entries = srv.logs.view(log, entries)
	if n >= 0 {
		entries = entries[:min(n, len(entries))]
	}
	out := resp.AppendArray(nil, len(entries))
	for _, e := range entries {
		out = append(out, e...)
	}
	return out
}

// elements cuts an array into its elements; false: reply is no array.
func elements(reply []byte) (parts [][]byte, ok bool) {
	head := bytes.IndexByte(reply, '\n') + 1
	if head == 0 || reply[0] != '*' {
		return nil, false
	}
	for rest := reply[head:]; len(rest) > 0; {
		var scan resp.ReplyScanner
		n, done, err := scan.Scan(rest)
		if err != nil || !done {
			return nil, false
		}
		parts, rest = append(parts, rest[:n]), rest[n:]
	}
	return parts, true
}

// ownEntry reports whether an entry is a command of the proxy's own: by its spelling, by the
// address of a control connection, or by the name of a closed one.
func (srv *Server) ownEntry(entry []byte) bool {
	v, _, err := resp.Parse(entry)
	if err != nil || len(v.Elems) < 6 {
		return false
	}
	args, addr, name := v.Elems[3].Elems, v.Elems[4].Str, v.Elems[5].Str
	return len(args) > 0 && resp.Spelled(args[0].Str) || srv.ownAddr(string(addr)) ||
		bytes.HasPrefix(name, []byte(upstream.DefaultClientName))
}
