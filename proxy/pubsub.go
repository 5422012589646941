package proxy

import (
	"bytes"
	"slices"
	"strings"

	"holdfast/proxy/resp"
)

// subState tracks the subscriptions of a pinned link. Under RESP2 both messages and replies are
// arrays, and the proxy must distinguish them to assign replies to commands: it reads the first
// word of each array, and the counts in the confirmations.
type subState struct {
	active   bool // a subscription or MONITOR was requested: inspect replies
	monitor  bool
	unsure   bool // a subscription was requested that the counts miss
	channels int  // by the confirmations' counts
	patterns int
	shards   int
	script   bool // MONITOR shows the calls of one of the proxy's own scripts
}

// asked notes a subscription or MONITOR whose confirmations are not counted.
func (st *subState) asked(b behaviour) {
	if b == subscribe || b == monitor {
		st.active = true
		st.monitor = st.monitor || b == monitor
		st.unsure = st.unsure || b == subscribe
	}
}

// subKind is the family of a subscription command.
type subKind uint8

const (
	subNone subKind = iota
	subChannel
	subPattern
	subShard
)

// subscribe sends one of the (P|S)(UN)SUBSCRIBE commands on the session's own link.
func (f *frame) subscribe() next {
	s, cmd := f.s, f.cmd
	l := s.pin
	l.sub.active = true
	k := &call{kind: kindOf(cmd.Name), confirmations: len(f.Args) - 1}
	k.all = len(f.Args) == 1 && strings.Contains(cmd.Name, "unsub")
	if !strings.Contains(cmd.Name, "unsub") && (!s.again.subscribed || s.w.subs.open[l] == 0) {
		s.again.subscribed = true // even while it waits for its link
		s.w.subscribed(l)
	}
	if n := f.sendTo(l, modeSubscribe, k); n != handled {
		return n
	}
	l.conn.Flush() // before any later input
	return handled
}

// kindOf is the family of a subscription command, and of the first word of its confirmations.
func kindOf(word string) subKind {
	switch word {
	case "subscribe", "unsubscribe":
		return subChannel
	case "psubscribe", "punsubscribe":
		return subPattern
	case "ssubscribe", "sunsubscribe":
		return subShard
	}
	return subNone
}

// push handles messages on a link lent to a session; false: reply is a reply.
func (l *link) push(reply []byte, typ byte) bool {
	s := l.owner
	switch {
	case typ == '>':
		if kindOf(string(firstWord(reply))) != subNone && l.awaitsConfirmation() {
			return false
		}
		switch string(firstWord(reply)) {
		case "tracking-redir-broken":
			reply = s.redirect.translate(reply)
		case "invalidate":
			reply = l.w.trash.HideInvalidated(reply)
		}
	case l.sub.monitor && typ == '+' && isMonitorLine(reply):
		if l.sub.own(reply) || l.w.srv.controlCommand(reply) {
			return true
		}
	case l.sub.active && l.proto == 2 && typ == '*':
		// Without a subscription an array is a reply, whatever its first word.
		word := firstWord(reply)
		switch {
		case !l.sub.any():
			return false
		case isMessage(word):
			reply = l.w.trash.HideInvalidated(reply)
		case kindOf(string(word)) != subNone && !l.awaitsConfirmation():
			l.sub.note(reply)
		default:
			return false
		}
	default:
		return false
	}
	if len(reply) > 0 {
		s.deliver(reply)
	}
	return true
}

func isMessage(word []byte) bool {
	switch string(word) {
	case "message", "pmessage", "smessage":
		return true
	}
	return false
}

func (l *link) awaitsConfirmation() bool {
	return l.reqs.len() > 0 && l.reqs.front().mode == modeSubscribe
}

// confirm takes one reply to a subscription command; true: it was the last.
func (l *link) confirm(r *request, reply []byte, typ byte) bool {
	l.w.confirmed(l)
	if typ == '-' {
		return true
	}
	k := r.call
	if k.all {
		// UNSUBSCRIBE without arguments is answered once for each channel, or once for none.
		k.all = false
		k.confirmations = max(1, *l.sub.count(k.kind))
	}
	l.sub.note(reply)
	k.confirmations--
	if k.confirmations > 0 {
		r.s.deliver(reply)
		return false
	}
	return true
}

// any reports whether messages may come.
func (st *subState) any() bool { return st.unsure || st.channels+st.patterns+st.shards > 0 }

func (st *subState) count(k subKind) *int {
	switch k {
	case subPattern:
		return &st.patterns
	case subShard:
		return &st.shards
	}
	return &st.channels
}

// note follows the number of subscriptions: a confirmation's third element is the remaining number
// of channels and patterns (for shard channels, of those).
func (st *subState) note(reply []byte) {
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) != 3 {
		return
	}
	total := int(v.Elems[2].Int)
	switch kindOf(string(v.Elems[0].Str)) {
	case subShard:
		st.shards = total
	case subPattern:
		st.patterns = max(0, total-st.channels)
	case subChannel:
		st.channels = max(0, total-st.patterns)
	}
}

// firstWord returns the first bulk string of an array or push.
func firstWord(reply []byte) []byte {
	i := bytes.IndexByte(reply, '\n')
	if i < 0 || i+1 >= len(reply) || reply[i+1] != '$' {
		return nil
	}
	rest := reply[i+1:]
	j := bytes.IndexByte(rest, '\n')
	if j < 0 {
		return nil
	}
	word := rest[j+1:]
	if e := bytes.IndexByte(word, '\r'); e >= 0 && e <= 32 {
		return word[:e]
	}
	return nil
}

// isMonitorLine reports whether a status reply is a line of MONITOR:
// +1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
func isMonitorLine(reply []byte) bool {
	dot := bytes.IndexByte(reply, '.')
	open := bytes.Index(reply, []byte(" ["))
	if dot < 2 || open < dot {
		return false
	}
	for _, c := range reply[1:dot] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// controlCommand reports whether a MONITOR line shows a command of a control connection, or of the
// journal.
func (srv *Server) controlCommand(line []byte) bool {
	open := bytes.Index(line, []byte(" ["))
	end := bytes.Index(line, []byte(`] "`))
	if end < open {
		return false
	}
	_, addr, _ := bytes.Cut(line[open+2:end], []byte(" "))
	return srv.ownAddr(string(addr))
}

// ownAddr reports whether a control connection or the journal has this address on the server.
func (srv *Server) ownAddr(addr string) bool {
	if slices.Contains(srv.up.Load().ControlAddrs(), addr) {
		return true
	}
	return srv.recorder != nil && slices.Contains(srv.recorder.Addrs(), addr)
}

// monitoredName is the command's name in a line of MONITOR.
func monitoredName(line []byte) []byte {
	i := bytes.Index(line, []byte(`] "`))
	if i < 0 {
		return nil
	}
	name := line[i+3:]
	if e := bytes.IndexByte(name, '"'); e >= 0 {
		name = name[:e]
	}
	return name
}

// own reports whether a MONITOR line shows one of the proxy's own commands, or a call of one of its
// scripts: calls follow their script.
func (st *subState) own(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(`"`))
	if bytes.HasSuffix(name, []byte(" lua] ")) {
		return st.script
	}
	word := monitoredName(line)
	own := resp.Spelled(word)
	st.script = own && string(word) == "eVaL"
	return own
}
