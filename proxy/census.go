package proxy

import (
	"bytes"
	"maps"
	"strconv"
	"strings"
	"time"

	"holdfast/proxy/upstream"
)

// census is who is connected, seen at one moment of each worker: what CLIENT LIST, KILL, UNBLOCK
// and TRACKING need to turn the server's view, in which there are links, into the clients' view,
// in which there are sessions.
type census struct {
	sessions []sessionView
	links    map[int64]struct{}  // server-side ids of all links of this proxy
	addrs    map[string]struct{} // and their addresses there, but for unix sockets
	control  map[string]struct{}
}

// sessionView is what others may know of a session.
type sessionView struct {
	id       uint64
	worker   *worker
	addr     string
	laddr    string
	name     string
	user     string
	lib      library
	db       int32
	proto    uint8
	age      time.Duration
	idle     time.Duration
	last     string
	serverID int64 // of its pinned link; 0: none
	sharedID int64 // of the shared link that its commands go by; 0: not known
	pubsub   bool
	replica  bool
}

func newCensus() *census {
	return &census{links: map[int64]struct{}{}, addrs: map[string]struct{}{},
		control: map[string]struct{}{}}
}

// takeCensus asks every worker and then runs done on w's loop. With one worker done runs before
// takeCensus returns.
func (w *worker) takeCensus(done func(*census)) {
	c := newCensus()
	for _, a := range w.up.ControlAddrs() {
		c.control[a] = struct{}{}
	}
	w.count1(c)
	left := len(w.srv.workers) - 1
	if left == 0 {
		done(c)
		return
	}
	for _, o := range w.srv.workers {
		if o == w {
			continue
		}
		part := newCensus()
		o.loop.Post(func() {
			o.count1(part)
			w.loop.Post(func() {
				c.sessions = append(c.sessions, part.sessions...)
				maps.Copy(c.links, part.links)
				maps.Copy(c.addrs, part.addrs)
				if left--; left == 0 {
					done(c)
				}
			})
		})
	}
}

// count1 adds this worker's part to c. Runs on its loop.
func (w *worker) count1(c *census) {
	for _, s := range w.sessions {
		c.sessions = append(c.sessions, s.view())
	}
	for l := range w.links {
		if l.serverID != 0 && !l.retiring {
			c.links[l.serverID] = struct{}{}
		}
		if l.localAddr != "" && l.localAddr[0] != '/' {
			c.addrs[l.localAddr] = struct{}{}
		}
	}
}

func (s *session) view() sessionView {
	now := s.w.loop.Now()
	v := sessionView{
		id: s.id, worker: s.w, addr: s.conn.RemoteAddr(), laddr: s.conn.LocalAddr(),
		name: s.name, user: s.ident.userName(), lib: s.lib, db: s.db, proto: s.proto,
		age: time.Duration(now - s.accepted), idle: time.Duration(now - s.active),
		last: "NULL",
	}
	if s.last != nil {
		v.last = s.last.Name
	}
	if ln := s.ident.lanes[laneKey{kind: laneData, proto: s.proto, db: s.db}]; ln != nil && len(ln.links) > 0 {
		v.sharedID = ln.links[0].serverID
	}
	if s.pin != nil && !s.pin.retiring {
		v.serverID = s.pin.serverID
		v.replica = s.pin.raw
		v.pubsub = s.pin.sub.channels+s.pin.sub.patterns+s.pin.sub.shards > 0
	}
	return v
}

// find returns the session with that id.
func (c *census) find(id uint64) *sessionView {
	for i := range c.sessions {
		if c.sessions[i].id == id {
			return &c.sessions[i]
		}
	}
	return nil
}

// byServerID returns the session that holds the link with that id.
func (c *census) byServerID(id int64) *sessionView {
	for i := range c.sessions {
		if id != 0 && c.sessions[i].serverID == id {
			return &c.sessions[i]
		}
	}
	return nil
}

// ours reports whether a line of the server's CLIENT LIST is one of this proxy's connections.
func (c *census) ours(line []byte) bool {
	if _, ok := c.links[lineID(line)]; ok {
		return true
	}
	if _, ok := c.addrs[string(field(line, "addr"))]; ok {
		return true
	}
	if _, ok := c.control[string(field(line, "addr"))]; ok {
		return true
	}
	name := string(field(line, "name"))
	return name == linkName || strings.HasPrefix(name, upstream.DefaultClientName)
}

// field returns the value of key in a line of CLIENT LIST; nil when it is not there.
func field(line []byte, key string) []byte {
	for len(line) > 0 {
		word := line
		if i := bytes.IndexByte(line, ' '); i >= 0 {
			word, line = line[:i], line[i+1:]
		} else {
			line = nil
		}
		if len(word) > len(key) && word[len(key)] == '=' && string(word[:len(key)]) == key {
			return word[len(key)+1:]
		}
	}
	return nil
}

func lineID(line []byte) int64 {
	id, _ := strconv.ParseInt(string(field(line, "id")), 10, 64)
	return id
}

// rewriteLine replaces the values of fields in a line of CLIENT LIST; fields that the server's
// version does not have are left out, so that the line keeps the form of that version.
func rewriteLine(line []byte, values map[string]string) []byte {
	var out []byte
	for i, word := range bytes.Split(line, []byte(" ")) {
		if i > 0 {
			out = append(out, ' ')
		}
		eq := bytes.IndexByte(word, '=')
		if eq < 0 {
			out = append(out, word...)
			continue
		}
		v, ok := values[string(word[:eq])]
		if !ok {
			out = append(out, word...)
			continue
		}
		out = append(out, word[:eq+1]...)
		out = append(out, v...)
	}
	return out
}

// identityFields are the fields by which a client would recognise a session.
func (v *sessionView) identityFields() map[string]string {
	return map[string]string{
		"id": strconv.FormatUint(v.id, 10), "addr": v.addr, "laddr": v.laddr, "name": v.name,
		"age":      strconv.Itoa(int(v.age / time.Second)),
		"lib-name": v.lib.name, "lib-ver": v.lib.version,
	}
}

// idleFields make a line, taken from any other connection, that of a session without a link.
func (v *sessionView) idleFields() map[string]string {
	m := v.identityFields()
	for k, x := range map[string]string{
		"idle": strconv.Itoa(int(v.idle / time.Second)), "flags": "N",
		"db": strconv.Itoa(int(v.db)), "sub": "0", "psub": "0", "ssub": "0", "multi": "-1",
		"watch": "0", "qbuf": "0", "qbuf-free": "0", "argv-mem": "0", "multi-mem": "0",
		"obl": "0", "oll": "0", "omem": "0", "events": "r", "cmd": v.last, "user": v.user,
		"redir": "-1", "resp": strconv.Itoa(int(v.proto)),
	} {
		m[k] = x
	}
	return m
}
