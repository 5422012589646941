package proxy

import (
	"bytes"
	"strconv"
	"time"

	"holdfast/policy"
	"holdfast/proxy/resp"
	"holdfast/proxy/telemetry"
)

// impossibleID is a client id that no server gives out: a CLIENT KILL with it is checked in every
// other respect, and kills nobody.
const impossibleID = "9223372036854775806"

// killFilter is what CLIENT KILL selects by.
type killFilter struct {
	id     uint64
	byID   bool
	addr   string
	laddr  string
	user   string
	typ    string
	skipMe bool
	maxAge int64 // seconds; -1: any
}

func parseKill(args [][]byte) killFilter {
	f := killFilter{skipMe: true, maxAge: -1}
	for i := 2; i+1 < len(args); i += 2 {
		v := string(args[i+1])
		switch {
		case resp.EqualFold(args[i], "id"):
			f.id, _ = strconv.ParseUint(v, 10, 64)
			f.byID = true
		case resp.EqualFold(args[i], "addr"):
			f.addr = v
		case resp.EqualFold(args[i], "laddr"):
			f.laddr = v
		case resp.EqualFold(args[i], "user"):
			f.user = v
		case resp.EqualFold(args[i], "type"):
			f.typ = v
		case resp.EqualFold(args[i], "skipme"):
			f.skipMe = !resp.EqualFold(args[i+1], "no")
		case resp.EqualFold(args[i], "maxage"):
			f.maxAge, _ = strconv.ParseInt(v, 10, 64)
		}
	}
	return f
}

// matchesSession reports whether a session is to be killed.
func (f *killFilter) matchesSession(v *sessionView, self uint64) bool {
	typ := "normal"
	switch {
	case v.replica:
		typ = "replica"
	case v.pubsub:
		typ = "pubsub"
	}
	return (!f.byID || f.id == v.id) && (f.addr == "" || f.addr == v.addr) &&
		(f.laddr == "" || f.laddr == v.laddr) && (f.user == "" || f.user == v.user) &&
		(f.typ == "" || sameType(f.typ, typ)) && !(f.skipMe && v.id == self) &&
		(f.maxAge < 0 || int64(v.age/time.Second) >= f.maxAge)
}

// matchesLine reports the same of a connection that is not this proxy's.
func (f *killFilter) matchesLine(line []byte) bool {
	id := lineID(line)
	age, _ := strconv.ParseInt(string(field(line, "age")), 10, 64)
	return len(line) > 0 && (!f.byID || f.id == uint64(id)) &&
		(f.addr == "" || f.addr == string(field(line, "addr"))) &&
		(f.laddr == "" || f.laddr == string(field(line, "laddr"))) &&
		(f.user == "" || f.user == string(field(line, "user"))) &&
		(f.typ == "" || matchesType(f.typ, string(field(line, "flags")))) &&
		(f.maxAge < 0 || age >= f.maxAge)
}

// matchesType compares the TYPE of CLIENT KILL with the flags of CLIENT LIST.
func matchesType(typ, flags string) bool {
	is := "normal"
	switch {
	case bytes.ContainsAny([]byte(flags), "M"):
		is = "master"
	case bytes.ContainsAny([]byte(flags), "S"):
		is = "replica"
	case bytes.ContainsAny([]byte(flags), "P"):
		is = "pubsub"
	}
	return sameType(typ, is)
}

// sameType compares a TYPE as the client wrote it with a type of client.
func sameType(typ, is string) bool {
	return resp.EqualFold([]byte(typ), is) || is == "replica" && resp.EqualFold([]byte(typ), "slave")
}

// clientKill carries out CLIENT KILL in four steps: the server checks the command and the user's
// permission; it lists its clients; sessions that match are closed here; the connections of others
// that match are killed by their ids. So a filter that a link happens to match never breaks the
// link of a hundred other clients.
func (s *session) clientKill(c *resp.Command, cmd *policy.Command) bool {
	l := s.askLink()
	if l == nil {
		return false
	}
	args := cloneArgs(c.Args)
	if len(args) == 3 {
		s.killByAddress(l, cmd, args)
		return true
	}
	check := append(cloneArgs(args), []byte("ID"), []byte(impossibleID))
	if len(args) < 3 {
		check = args
	}
	s.ask(l, cmd, check, func(reply []byte, broken bool) {
		if isError(reply, broken) {
			s.deliver(reply)
			return
		}
		s.ask(l, cmd, [][]byte{[]byte("cLiEnT"), []byte("lIsT")}, func(reply []byte, broken bool) {
			var text []byte
			if !isError(reply, broken) {
				if v, _, err := resp.Parse(reply); err == nil {
					text = bytes.Clone(v.Str)
				}
			}
			s.waitCallOn = true
			s.w.takeCensus(func(cs *census) { s.killMatching(l, cmd, parseKill(args), text, cs) })
		})
	})
	return true
}

// killMatching closes what f selects and answers with the number.
func (s *session) killMatching(l *link, cmd *policy.Command, f killFilter, text []byte, cs *census) {
	s.waitCallOn = false
	n, me := 0, false
	for i := range cs.sessions {
		v := &cs.sessions[i]
		if !f.matchesSession(v, s.id) {
			continue
		}
		n++
		if v.id == s.id {
			me = true
			continue
		}
		v.worker.killSession(v.id)
	}
	var others [][]byte
	for _, line := range bytes.Split(trimCRLF(text), []byte("\n")) {
		if cs.byServerID(lineID(line)) == nil && !cs.ours(line) && f.matchesLine(line) {
			others = append(others, bytes.Clone(field(line, "id")))
		}
	}
	s.killOthers(l, cmd, others, n, me)
}

// killOthers kills connections that are not this proxy's, one after the other.
func (s *session) killOthers(l *link, cmd *policy.Command, ids [][]byte, n int, me bool) {
	if s.closed {
		return
	}
	if len(ids) == 0 {
		s.deliver(resp.AppendInt(nil, int64(n)))
		if me {
			s.endLater(telemetry.CloseKilled)
		}
		s.w.wakeUp(s)
		return
	}
	kill := [][]byte{[]byte("cLiEnT"), []byte("kIlL"), []byte("ID"), ids[0]}
	s.ask(l, cmd, kill, func(reply []byte, broken bool) {
		if !isError(reply, broken) && bytes.Equal(reply, []byte(":1\r\n")) {
			n++
		}
		s.killOthers(l, cmd, ids[1:], n, me)
	})
}

// killByAddress carries out the old form, CLIENT KILL addr:port.
func (s *session) killByAddress(l *link, cmd *policy.Command, args [][]byte) {
	s.waitCallOn = true
	s.wait = waitCall
	s.w.takeCensus(func(cs *census) {
		s.waitCallOn = false
		var target *sessionView
		for i := range cs.sessions {
			if cs.sessions[i].addr == string(args[2]) {
				target = &cs.sessions[i]
			}
		}
		ask := args
		if target != nil {
			// Checked by the server under an address that nobody has.
			ask = [][]byte{args[0], args[1], []byte("0.0.0.0:0")}
		}
		s.ask(l, cmd, ask, func(reply []byte, broken bool) {
			if target != nil && bytes.Equal(trimCRLF(reply), []byte("-"+textNoSuchClient)) {
				reply = resp.AppendSimple(nil, "OK")
				if target.id == s.id {
					s.endLater(telemetry.CloseKilled)
				} else {
					target.worker.killSession(target.id)
				}
			}
			s.deliver(reply)
		})
	})
}

// killSession closes a session of this worker, from any goroutine.
func (w *worker) killSession(id uint64) {
	w.loop.Post(func() {
		if s := w.sessions[id]; s != nil {
			s.close(telemetry.CloseKilled)
		}
	})
}

// clientUnblock carries out CLIENT UNBLOCK: the id is a session's, the blocked connection a link.
func (s *session) clientUnblock(c *resp.Command, cmd *policy.Command) bool {
	return s.askTranslated(c, cmd, 2, false, func(reply []byte, _ bool) { s.deliver(reply) })
}

// askTranslated asks with the session id in args[at] replaced by the server's id of that session's
// link. With pin, a session that has no link of its own is given one.
func (s *session) askTranslated(c *resp.Command, cmd *policy.Command, at int, pin bool,
	done func([]byte, bool)) bool {
	l := s.askLink()
	if l == nil {
		return false
	}
	args := cloneArgs(c.Args)
	id, err := strconv.ParseUint(string(at1(args, at)), 10, 64)
	if err != nil || id < idBase {
		s.ask(l, cmd, args, done)
		return true
	}
	s.wait, s.waitCallOn = waitCall, true
	goOn := func(serverID int64) {
		s.waitCallOn = false
		if s.closed {
			return
		}
		args[at] = []byte(impossibleID)
		if serverID != 0 {
			args[at] = strconv.AppendInt(nil, serverID, 10)
		}
		if pin {
			s.redirect = redirect{id, serverID}
		}
		s.ask(l, cmd, args, done)
	}
	s.w.takeCensus(func(cs *census) {
		v := cs.find(id)
		switch {
		case v == nil || v.serverID == 0 && !pin:
			goOn(0)
		case v.serverID != 0:
			goOn(v.serverID)
		default:
			v.worker.pinSession(id, func(serverID int64) {
				s.w.loop.Post(func() { goOn(serverID) })
			})
		}
	})
	return true
}

func at1(args [][]byte, i int) []byte {
	if i < len(args) {
		return args[i]
	}
	return nil
}

// clientTracking carries out CLIENT TRACKING on the session's own link; REDIRECT names a session.
func (s *session) clientTracking(c *resp.Command, cmd *policy.Command) bool {
	for i := 3; i+1 < len(c.Args); i++ {
		if resp.EqualFold(c.Args[i], "redirect") {
			if s.outstanding > 0 {
				s.wait = waitOrder
				return false
			}
			return s.askTranslated(c, cmd, i+1, true, func(reply []byte, _ bool) { s.deliver(reply) })
		}
	}
	return s.sendTo(s.pin, c, cmd, modeForward, nil)
}

// pinSession gives a session a link of its own, as soon as nothing of it is outstanding, and hands
// over the link's id on the server; 0 when that cannot be had. From any goroutine.
func (w *worker) pinSession(id uint64, done func(serverID int64)) {
	ok := w.loop.Post(func() {
		s := w.sessions[id]
		if s == nil {
			done(0)
			return
		}
		s.whenIdle = append(s.whenIdle, func() {
			if s.closed || !s.keepLink() {
				done(0)
				return
			}
			s.pin.whenReady(func(l *link) { done(l.serverID) })
		})
		w.wakeUp(s)
	})
	if !ok {
		done(0)
	}
}

// clientPause carries out CLIENT PAUSE and UNPAUSE and follows them, see pausedWrite.
func (s *session) clientPause(c *resp.Command, cmd *policy.Command) bool {
	args := cloneArgs(c.Args)
	return s.askAs(c, cmd, func(reply []byte, broken bool) {
		if !isError(reply, broken) {
			s.w.srv.clientsPaused(args)
		}
		s.deliver(reply)
	})
}
