package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/policy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// A bubble is a proxy with a server and clients in one process, in memory and under a fake clock
// (testing/synctest): time passes only when a test sleeps, and settle returns when everything that
// can happen without the passing of time has happened.
type bubble struct {
	t      *testing.T
	server *fakeServer
	srv    *Server
	w      *worker
}

func inBubble(t *testing.T, routes []policy.RouteSpec, test func(b *bubble), change ...func(*Options)) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeServer()
		f.t = t
		log := io.Discard
		if testing.Verbose() {
			log = t.Output()
		}
		o := Options{
			Driver: "portable", Routes: routes, Drain: 30 * time.Second,
			Upstream: upstream.Options{Address: "fake:1", Dialer: f},
			Logger:   slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		for _, f := range change {
			f(&o)
		}
		o.Journal.Segment = 1 << 20 // it begins with writing two files full of zeros
		srv, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- srv.Run(ctx) }()
		<-srv.started
		b := &bubble{t: t, server: f, srv: srv, w: srv.loops.workers[0]}
		b.settle()
		defer func() {
			cancel()
			f.releaseAll()
			if err := <-done; err != nil {
				t.Error(err)
			}
			f.closeAll()
			f.releaseAll()
		}()
		test(b)
	})
}

func (b *bubble) settle() { synctest.Wait() }

// sleep lets time pass.
func (b *bubble) sleep(d time.Duration) {
	time.Sleep(d)
	b.settle()
}

// onLoop runs f on the worker's loop.
func (b *bubble) onLoop(f func()) {
	done := make(chan struct{})
	b.w.loop.Post(func() { f(); close(done) })
	<-done
	b.settle()
}

// fakeClient is a client's connection.
type fakeClient struct {
	b    *bubble
	conn net.Conn

	mu   sync.Mutex
	got  []byte
	over bool
}

func (b *bubble) client() *fakeClient { return b.clientFrom("") }

// clientFrom is client with an address.
func (b *bubble) clientFrom(addr string) *fakeClient {
	ours, theirs := net.Pipe()
	if addr != "" {
		theirs = fakePeer{theirs, addr}
	}
	c := &fakeClient{b: b, conn: ours}
	b.w.loop.Post(func() { b.w.accept(theirs, &listener{name: "test"}) })
	go c.read()
	b.settle()
	return c
}

// fakePeer is a connection of a client with an address.
type fakePeer struct {
	net.Conn
	addr string
}

func (p fakePeer) RemoteAddr() net.Addr {
	addr, err := net.ResolveTCPAddr("tcp", p.addr)
	if err != nil {
		panic(err)
	}
	return addr
}

func (c *fakeClient) read() {
	buf := make([]byte, 4096)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		c.got = append(c.got, buf[:n]...)
		c.over = err != nil
		c.mu.Unlock()
		if err != nil {
			c.conn.Close()
			return
		}
	}
}

// send sends inline commands, one a line, and waits until everything has come to rest.
func (c *fakeClient) send(lines ...string) {
	c.b.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.b.t.Fatal(err)
	}
	c.b.settle()
}

// take returns what has come since the last take.
func (c *fakeClient) take() string {
	c.b.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := string(c.got)
	c.got = nil
	return s
}

func (c *fakeClient) expect(want string) {
	c.b.t.Helper()
	if got := c.take(); got != want {
		c.b.t.Fatalf("got %q, want %q", got, want)
	}
}

// expectPrefix is for errors, of which the code counts and some words.
func (c *fakeClient) expectError(code string, words ...string) {
	c.b.t.Helper()
	got := c.take()
	for _, w := range append(words, "-"+code+" ") {
		if !strings.Contains(got, w) {
			c.b.t.Fatalf("got %q, want %s with %q", got, code, w)
		}
	}
	if strings.Count(got, "\r\n") != 1 {
		c.b.t.Fatalf("got %q, want one reply", got)
	}
}

func (c *fakeClient) expectEnd() {
	c.b.t.Helper()
	c.b.settle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.b.t.Fatal("the connection is open")
	}
}

// fakeServer is as much of a primary as the proxy asks for. Fields may be changed under mu.
type fakeServer struct {
	t        *testing.T
	mu       sync.Mutex
	runID    string
	replID   string
	replID2  string
	role     string
	offset   int64
	replicas []fakeReplica
	config   map[string]string
	version  []string          // lines of INFO server
	instead  map[string]string // replies by command, in place of what is usual
	held     map[string]bool   // commands, by name or line, whose replies wait for answer
	waits    []*fakeWait
	conns    map[*fakeConn]struct{}
	dials    int
	hold     chan struct{} // dials wait until it is closed; nil: they do not
	holding  int           // dials that wait there
	lastID   int
	refuse   bool
	seen     []string // commands, in order
	strays   []string // what belongs into a transaction and came without one
}

type fakeReplica struct {
	port   int
	offset int64
}

// fakeWait is a command that blocks its connection until the test answers it.
type fakeWait struct {
	args  []string
	reply chan string
}

type fakeConn struct {
	net.Conn
	f     *fakeServer
	id    int
	runID string // of the process that it leads to
	did   []byte // commands, in order
	multi bool   // a transaction is open
}

var (
	firstID = strings.Repeat("a", 40)
	otherID = strings.Repeat("b", 40)
	noID    = strings.Repeat("0", 40)
)

func newFakeServer() *fakeServer {
	return &fakeServer{
		runID: "run-1", replID: firstID, replID2: noID, role: "master", offset: 100,
		replicas: []fakeReplica{{port: 7001}},
		config: map[string]string{"databases": "16", "appendonly": "yes", "appendfsync": "always",
			"no-appendfsync-on-rewrite": "no", "proto-max-bulk-len": "536870912", "save": ""},
		version: []string{"redis_version:7.2.4", "server_name:valkey", "valkey_version:8.0.1"},
		instead: map[string]string{}, held: map[string]bool{}, conns: map[*fakeConn]struct{}{},
	}
}

// DialContext implements upstream.Dialer.
func (f *fakeServer) DialContext(context.Context, string, string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials++
	if hold := f.hold; hold != nil {
		f.holding++
		f.mu.Unlock()
		<-hold
		f.mu.Lock()
		f.holding--
	}
	if f.refuse {
		return nil, io.ErrClosedPipe
	}
	ours, theirs := net.Pipe()
	f.lastID++
	c := &fakeConn{Conn: theirs, f: f, id: f.lastID, runID: f.runID}
	f.conns[c] = struct{}{}
	go c.serve()
	return ours, nil
}

func (f *fakeServer) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// change changes the server's state.
func (f *fakeServer) change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// waiting is the commands that block, as text.
func (f *fakeServer) waiting() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.waits {
		out = append(out, strings.ToLower(strings.Join(w.args, " ")))
	}
	return out
}

// answer lets the oldest blocked command return. Where it is a WAIT that succeeds, the replicas have
// acknowledged everything.
func (f *fakeServer) answer(reply string) { f.answerTo("", reply) }

// answerTo is answer for the oldest one of a name.
func (f *fakeServer) answerTo(name, reply string) {
	f.mu.Lock()
	i := slices.IndexFunc(f.waits, func(w *fakeWait) bool {
		return name == "" || strings.EqualFold(w.args[0], name)
	})
	if i < 0 {
		f.mu.Unlock()
		f.t.Fatalf("no %s waits for an answer", name)
	}
	w := f.waits[i]
	f.waits = slices.Delete(f.waits, i, i+1)
	f.mu.Unlock()
	w.reply <- reply
}

// catchUp has every replica acknowledge everything.
func (f *fakeServer) catchUp() {
	f.change(func() {
		for i := range f.replicas {
			f.replicas[i].offset = f.offset
		}
	})
}

// cut ends the connections that have carried such a command.
func (f *fakeServer) cut(command string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		if bytes.Contains(c.did, []byte(command)) {
			c.Close()
			n++
		}
	}
	return n
}

// restart ends the process and begins another one.
func (f *fakeServer) restart(runID, replID string) {
	f.change(func() { f.runID, f.replID, f.replID2, f.offset = runID, replID, noID, 0 })
	f.cut("")
}

func (f *fakeServer) releaseAll() {
	for {
		f.mu.Lock()
		n := len(f.waits)
		f.held = map[string]bool{}
		f.mu.Unlock()
		if n == 0 {
			return
		}
		f.answer(":0\r\n")
	}
}

func (c *fakeConn) serve() {
	defer func() {
		c.Close()
		c.f.change(func() { delete(c.f.conns, c) })
	}()
	r := bufio.NewReader(c)
	for {
		args, err := readFrame(r)
		if err != nil {
			return
		}
		reply, wait := c.f.reply(c, args)
		if wait != nil {
			reply = <-wait.reply
		}
		if _, err := io.WriteString(c, reply); err != nil {
			return
		}
	}
}

// readFrame reads a command as an array of bulk strings.
func readFrame(r *bufio.Reader) ([]string, error) {
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	n, err := number()
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		size, err := number()
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}

// reply is what the server says to one command; wait is set for those that block.
func (f *fakeServer) reply(c *fakeConn, args []string) (string, *fakeWait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := strings.ToLower(args[0])
	line := strings.ToLower(strings.Join(args, " "))
	f.seen = append(f.seen, line)
	c.did = append(append(c.did, line...), '\n')
	f.noteStray(c, name, line)
	if text, ok := f.instead[line]; ok {
		return text, nil
	}
	if f.held[name] || f.held[line] || name == "wait" || name == "waitaof" {
		w := &fakeWait{args, make(chan string, 1)}
		f.waits = append(f.waits, w)
		return "", w
	}
	if text, ok := f.instead[name]; ok {
		return text, nil
	}
	switch name {
	case "info":
		return proxytest.Bulk(f.info(c.runID)), nil
	case "config":
		return f.configGet(args[2:]), nil
	case "hello":
		return fmt.Sprintf("*2\r\n$2\r\nid\r\n:%d\r\n", c.id), nil
	case "client":
		return "+OK\r\n", nil
	case "exec":
		f.offset += 10
		return "*1\r\n+OK\r\n", nil
	case "pexpireat":
		f.offset += 10
		return ":1\r\n", nil
	case "ping":
		return "+PONG\r\n", nil
	case "reset":
		return "+RESET\r\n", nil
	case "set", "multi", "discard", "select", "auth":
		f.offset += 10
		return "+OK\r\n", nil
	case "get":
		return "$1\r\nx\r\n", nil
	case "eval", "incr":
		f.offset += 10
		return ":1\r\n", nil
	}
	return "-ERR unknown command\r\n", nil
}

// noteStray follows MULTI. An EXEC, and a SET of the key inside, belong into a transaction.
func (f *fakeServer) noteStray(c *fakeConn, name, line string) {
	if !c.multi && (name == "exec" || strings.HasPrefix(line, "set inside")) {
		f.strays = append(f.strays, line)
	}
	switch name {
	case "multi":
		c.multi = true
	case "exec", "discard", "reset":
		c.multi = false
	}
}

func (f *fakeServer) configGet(names []string) string {
	var out []string
	for _, n := range names {
		if v, ok := f.config[n]; ok {
			out = append(out, n, v)
		}
	}
	return proxytest.Command(out...)
}

func (f *fakeServer) info(runID string) string {
	lines := append([]string{"# Server"}, f.version...)
	lines = append(lines,
		"run_id:"+runID, "# Persistence", "loading:0", "aof_last_write_status:ok",
		"aof_enabled:"+map[string]string{"yes": "1"}[f.config["appendonly"]],
		"# Replication", "role:"+f.role,
		fmt.Sprintf("connected_slaves:%d", len(f.replicas)))
	for i, r := range f.replicas {
		lines = append(lines, fmt.Sprintf("slave%d:ip=127.0.0.1,port=%d,state=online,offset=%d,lag=0", i,
			r.port, r.offset))
	}
	lines = append(lines, "master_replid:"+f.replID, "master_replid2:"+f.replID2,
		fmt.Sprintf("master_repl_offset:%d", f.offset), "second_repl_offset:-1", "")
	return strings.Join(lines, "\r\n")
}

// sent counts the commands that begin with a text.
func (f *fakeServer) sent(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(f.seen), func(s string) bool {
		return !strings.HasPrefix(s, prefix)
	}))
}
