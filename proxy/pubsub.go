package proxy

import (
	"bytes"
	"slices"

	"holdfast/policy"
	"holdfast/proxy/resp"
)

// subState is what a pinned link knows of its subscriptions. Under RESP2 messages and replies are
// both arrays, so the proxy has to tell them apart to know which command a reply belongs to; it
// reads the first word of each array, and the counts that the confirmations carry.
type subState struct {
	active   bool // a subscription or MONITOR was ever asked for: replies need a look
	monitor  bool
	unsure   bool // a subscription was asked for in a way that leaves the counts behind
	channels int  // as counted by confirmations
	patterns int
	shards   int
	script   bool // MONITOR shows the calls of a script of the proxy's own
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
func (s *session) subscribe(c *resp.Command, cmd *policy.Command) bool {
	l := s.pin
	l.sub.active = true
	k := &call{kind: kindOf(cmd.Name), confirmations: len(c.Args) - 1}
	k.all = len(c.Args) == 1 && bytes.Contains([]byte(cmd.Name), []byte("unsub"))
	return s.sendTo(l, c, cmd, modeSubscribe, k)
}

func kindOf(name string) subKind {
	switch name[0] {
	case 'p':
		return subPattern
	case 's':
		if name == "ssubscribe" || name == "sunsubscribe" {
			return subShard
		}
	}
	if name == "sunsubscribe" {
		return subShard
	}
	return subChannel
}

// push deals with what the server sends without being asked, on a link that is lent to a session:
// true when reply was such.
func (l *link) push(reply []byte, typ byte) bool {
	s := l.owner
	switch {
	case typ == '>':
		if l.confirmation(firstWord(reply)) != subNone && l.awaitsConfirmation() {
			return false
		}
		if string(firstWord(reply)) == "tracking-redir-broken" {
			reply = s.redirect.translate(reply)
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
		case l.confirmation(word) != subNone && !l.awaitsConfirmation():
			l.sub.note(reply)
		default:
			return false
		}
	default:
		return false
	}
	s.deliver(reply)
	return true
}

func isMessage(word []byte) bool {
	switch string(word) {
	case "message", "pmessage", "smessage":
		return true
	}
	return false
}

// confirmation says which family a confirmation's first word belongs to.
func (l *link) confirmation(word []byte) subKind {
	switch string(word) {
	case "subscribe", "unsubscribe":
		return subChannel
	case "psubscribe", "punsubscribe":
		return subPattern
	case "ssubscribe", "sunsubscribe":
		return subShard
	}
	return subNone
}

func (l *link) awaitsConfirmation() bool {
	return l.reqs.len() > 0 && l.reqs.front().mode == modeSubscribe
}

// confirm takes one reply to a subscription command; true when it was the last.
func (l *link) confirm(r *request, reply []byte, typ byte) bool {
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

// any reports that messages may come.
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

// note follows the number of subscriptions: a confirmation's third element is the number of
// channels and patterns (of shard channels for theirs) that are left after it.
func (st *subState) note(reply []byte) {
	v, _, err := resp.Parse(reply)
	if err != nil || len(v.Elems) != 3 {
		return
	}
	total := int(v.Elems[2].Int)
	switch string(v.Elems[0].Str) {
	case "ssubscribe", "sunsubscribe":
		st.shards = total
	case "psubscribe", "punsubscribe":
		st.patterns = max(0, total-st.channels)
	case "subscribe", "unsubscribe":
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

// controlCommand reports whether a MONITOR line shows a command of a control connection.
func (srv *Server) controlCommand(line []byte) bool {
	name := monitoredName(line)
	switch string(name) {
	case "info", "config", "command", "client", "ping", "hello", "auth":
	default:
		return false
	}
	open := bytes.Index(line, []byte(" ["))
	end := bytes.Index(line, []byte(`] "`))
	_, addr, _ := bytes.Cut(line[open+2:end], []byte(" "))
	return slices.Contains(srv.up.Load().ControlAddrs(), string(addr))
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

// own reports whether a MONITOR line shows a command of the proxy's own, or a call of a script of
// its own: calls follow their script.
func (st *subState) own(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(`"`))
	if bytes.HasSuffix(name, []byte(" lua] ")) {
		return st.script
	}
	own := ownCommand(line)
	st.script = own && string(monitoredName(line)) == "eVaL"
	return own
}

// ownCommand reports whether a MONITOR line shows one of the proxy's own commands. They are
// spelled in mixed case, beginning in lower case and going on in upper, as no client spells them.
func ownCommand(line []byte) bool {
	switch string(monitoredName(line)) {
	case "aUtH", "hElLo", "sElEcT", "cLiEnT", "rEsEt", "pUbLiSh", "hOlDfAsT.dEnIeD", "eVaL", "aCl",
		"dRyRuN", "pInG", "iNfO", "sEt", "wAiT", "wAiTaOf", "cOnFiG", "pExPiReAt", "dIsCaRd":
		return true
	}
	return false
}
