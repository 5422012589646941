package proxy

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/proxy/upstream"
)

// census is the list of all sessions and links, taken at one moment of each worker. CLIENT LIST,
// KILL, UNBLOCK and TRACKING need it to turn the server's view, which has links, into the clients'
// view, which has sessions.
type census struct {
	sessions []sessionView
	links    map[int64]struct{}  // server-side ids of all links of this proxy
	addrs    map[string]struct{} // and their addresses there, except on unix sockets
	control  map[string]struct{} // addresses of control connections, and of the journal's
	journal  bool                // the proxy keeps a journal
	cost     time.Duration       // time that the asking loop has spent on it

	once  sync.Once
	order []*sessionView // inOrder
}

// inOrder returns the sessions in the order of arrival. Any goroutine may call it.
func (c *census) inOrder() []*sessionView {
	c.once.Do(func() {
		c.order = make([]*sessionView, len(c.sessions))
		for i := range c.sessions {
			c.order[i] = &c.sessions[i]
		}
		slices.SortFunc(c.order, func(a, b *sessionView) int { return cmp.Compare(a.id, b.id) })
	})
	return c.order
}

// traffic counts the bytes and commands of one client.
type traffic struct {
	in, out  uint64 // bytes
	commands uint64 // answered commands
}

// sessionView is the part of a session that is visible to other sessions.
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
	serverID int64  // of its pinned link; 0: none, or unknown
	linkAddr string // the address of its pinned link on the server; "": none, or a unix socket
	sharedID int64  // of its shared link; 0: unknown
	certain  bool   // the proxy knows user and database
	traffic  traffic
}

func newCensus() *census {
	return &census{links: map[int64]struct{}{}, addrs: map[string]struct{}{},
		control: map[string]struct{}{}}
}

// censusSlice is the number of sessions that one turn of a loop counts. A session that comes or
// goes between two turns may or may not be in the census; a server's own list may be as outdated.
const censusSlice = 256

// countAll asks every worker and then runs done on w's loop.
func (w *worker) countAll(done func(*census)) {
	c := newCensus()
	for _, a := range w.up.ControlAddrs() {
		c.control[a] = struct{}{}
	}
	if r := w.srv.recorder; r != nil {
		c.journal = true
		for _, a := range r.Addrs() {
			c.control[a] = struct{}{}
		}
	}
	left := len(w.srv.loops.workers)
	counted := func() {
		if left--; left == 0 {
			done(c)
		}
	}
	w.countOwn(c, counted)
	for _, o := range w.srv.loops.workers {
		if o == w {
			continue
		}
		part := newCensus()
		merge := func() {
			c.sessions = append(c.sessions, part.sessions...)
			maps.Copy(c.links, part.links)
			maps.Copy(c.addrs, part.addrs)
			counted()
		}
		o.loop.Post(func() {
			o.countOwn(part, func() { w.loop.Post(merge) })
		})
	}
}

// countOwn adds this worker's part to c and then runs done, both on its loop, in several turns if
// necessary.
func (w *worker) countOwn(c *census, done func()) {
	began := time.Now()
	all := slices.Collect(maps.Values(w.sessions))
	c.sessions = slices.Grow(c.sessions, len(all))
	c.cost += time.Since(began)
	w.countSlice(c, all, done)
}

// countSlice adds the first sessions of left to c, and continues in the next turn.
func (w *worker) countSlice(c *census, left []*session, done func()) {
	began := time.Now()
	n := min(len(left), censusSlice)
	for _, s := range left[:n] {
		if !s.closed {
			c.sessions = append(c.sessions, s.view())
		}
	}
	if left = left[n:]; len(left) > 0 {
		c.cost += time.Since(began)
		w.later(func() { w.countSlice(c, left, done) })
		return
	}
	c.cost += time.Since(began)
	w.whenIdentified(func() {
		began := time.Now()
		w.countLinks(c)
		c.cost += time.Since(began)
		done()
	})
}

// whenIdentified runs f once every link of this moment has the id by which a list of clients shows it, or
// has failed. On a unix socket nothing else tells the proxy's connections from those of others.
func (w *worker) whenIdentified(f func()) {
	left := 1
	identified := func(*link) {
		if left--; left == 0 {
			f()
		}
	}
	if strings.HasPrefix(w.up.Address(), "unix:") {
		for l := range w.links {
			if l.opening() && l.up == w.up {
				left++
				l.whenReady(func(l *link) { w.later(func() { identified(l) }) })
			}
		}
	}
	identified(nil)
}

// countLinks adds this worker's links to c.
func (w *worker) countLinks(c *census) {
	w.departed.count(w, c)
	for l := range w.links {
		if l.serverID != 0 && l.up == w.up {
			c.links[l.serverID] = struct{}{}
		}
		if addr, ok := tcpAddr(l.localAddr); ok {
			c.addrs[addr] = struct{}{}
		}
	}
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

// pinnedLinks maps a line of the server's CLIENT LIST to the session with that pinned link, by the
// link's id or, if that is unknown, by its address.
type pinnedLinks struct {
	ids   map[int64]*sessionView
	addrs map[string]*sessionView
}

func (c *census) pinnedLinks() pinnedLinks {
	p := pinnedLinks{map[int64]*sessionView{}, map[string]*sessionView{}}
	for i := range c.sessions {
		v := &c.sessions[i]
		if v.serverID != 0 {
			p.ids[v.serverID] = v
		}
		if v.linkAddr != "" {
			p.addrs[v.linkAddr] = v
		}
	}
	return p
}

// of returns the session of a line; nil: none.
func (p pinnedLinks) of(line []byte) *sessionView {
	if v := p.ids[lineID(line)]; v != nil {
		return v
	}
	return p.addrs[string(field(line, "addr"))]
}

// ours reports whether a line of the server's CLIENT LIST is one of this proxy's connections, or
// the control connection of another proxy.
func (c *census) ours(line []byte) bool {
	if _, ok := c.links[lineID(line)]; ok {
		return true
	}
	addr := string(field(line, "addr"))
	_, link := c.addrs[addr]
	_, control := c.control[addr]
	if link || control || strings.HasPrefix(string(field(line, "name")), upstream.DefaultClientName) {
		return true
	}
	// On a unix socket all connections have one address. No server replicates over a unix socket,
	// so a replica there is a journal.
	_, tcp := tcpAddr(addr)
	return c.journal && !tcp && bytes.IndexByte(field(line, "flags"), 'S') >= 0
}

// tcpAddr returns an address that identifies one connection; false for a unix socket's, which is a
// path (in brackets, with Valkey 9).
func tcpAddr(addr string) (string, bool) {
	path := strings.TrimPrefix(addr, "[")
	return addr, path != "" && path[0] != '/'
}

// field returns the value of key in a line of CLIENT LIST; nil: absent.
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

// rewriteLine replaces the values of fields in a line of CLIENT LIST; fields unknown to the
// server's version are left out, so that the line keeps that version's form.
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

// identityFields are the fields that identify a session to clients, and its traffic.
func (v *sessionView) identityFields() map[string]string {
	m := map[string]string{
		"id": strconv.FormatUint(v.id, 10), "addr": v.addr, "laddr": v.laddr, "name": v.name,
		"age":      strconv.Itoa(int(v.age / time.Second)),
		"lib-name": v.lib.name, "lib-ver": v.lib.version,
		"tot-net-in":  strconv.FormatUint(v.traffic.in, 10),
		"tot-net-out": strconv.FormatUint(v.traffic.out, 10),
		"tot-cmds":    strconv.FormatUint(v.traffic.commands, 10),
	}
	if v.certain {
		m["user"] = v.user // the link may be logged in as the guard's user
	}
	return m
}

// idleFields turn the line of any other connection into that of a session without a link.
func (v *sessionView) idleFields() map[string]string {
	m := v.identityFields()
	for k, x := range map[string]string{
		"idle": strconv.Itoa(int(v.idle / time.Second)), "flags": socketFlag("", v.addr),
		"db": strconv.Itoa(int(v.db)), "sub": "0", "psub": "0", "ssub": "0", "multi": "-1",
		"watch": "0", "qbuf": "0", "qbuf-free": "0", "argv-mem": "0", "multi-mem": "0",
		"obl": "0", "oll": "0", "omem": "0", "events": "r", "cmd": v.last, "user": v.user,
		"redir": "-1", "resp": strconv.Itoa(int(v.proto)),
	} {
		m[k] = x
	}
	return m
}
