package proxy_test

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

var replicaLine = regexp.MustCompile(`id=(\d+) addr=(\S+) .* flags=\w*S\w* `)

// replicas are the ids and addresses of the server's replicas.
func replicas(srv *proxytest.Server) (out [][]string) {
	list, _ := srv.MustDo("CLIENT", "LIST").(string)
	for _, m := range replicaLine.FindAllStringSubmatch(list, -1) {
		out = append(out, m[1:])
	}
	return out
}

// TestKillSparesTheProxy: the journal and the proxy's links stay, whatever filter they happen to
// match, unless an id or an address names them. Connections of others are killed as the server
// would.
func TestKillSparesTheProxy(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Kind: "valkey9",
		Args: []string{"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb"}}.Start(t)
	addr, s := serveServer(t, srv.Addr, withJournal(t.TempDir()))
	recorded(t, s, srv)
	before := replicas(srv)
	if len(before) != 1 {
		t.Fatalf("replicas: %v", before)
	}
	c, shared := dial(t, addr), dial(t, addr)
	shared.do("PING")
	want := linkIDs(t, srv)
	old := func() bool { return !strings.Contains(c.do("CLIENT LIST"), " age=0 ") }
	proxytest.Poll(t, "clients of a second or more", old)
	for _, row := range []struct{ filter, want string }{
		{"TYPE replica", ":0\r\n"}, {"TYPE slave", ":0\r\n"}, {"MAXAGE 1 SKIPME yes TYPE replica", ":0\r\n"},
		{"NOT-NAME nobody FLAGS S", ":0\r\n"}, {"NOT-ADDR 1.2.3.4:5 TYPE replica", ":0\r\n"},
		{"NAME nobody", ":0\r\n"}, {"NAME holdfast-control", ":0\r\n"},
		{"USER default TYPE replica SKIPME no", ":0\r\n"},
		{"TYPE replica LADDR " + srv.Addr, ":0\r\n"}, {"IP 127.0.0.1 FLAGS S", ":0\r\n"}, {"DB 5", ":0\r\n"},
		{"NOSUCH x", "-ERR syntax error\r\n"},
	} {
		if got := c.do("CLIENT KILL " + row.filter); got != row.want {
			t.Errorf("CLIENT KILL %s: %q, want %q", row.filter, got, row.want)
		}
	}
	for _, line := range []string{"CLIENT REPLY SKIP\r\nCLIENT KILL TYPE replica",
		"CLIENT REPLY OFF\r\nCLIENT KILL TYPE replica\r\nCLIENT KILL NAME nobody\r\nCLIENT REPLY ON"} {
		c.send(line + "\r\nPING\r\n")
		got := c.reply()
		if got == "+OK\r\n" {
			got = c.reply()
		}
		if got != "+PONG\r\n" {
			t.Errorf("%q: %q", line, got)
		}
	}
	c.exec("CLIENT KILL TYPE replica", "CLIENT KILL NAME nobody", "CLIENT KILL USER default TYPE replica")
	if got := replicas(srv); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("the journal's connection is %v, was %v", got, before)
	}
	// What the clients use is there still: the links of before are among those of now.
	got := linkIDs(t, srv) // in any order: the server turns its list around as it looks after clients
	for _, id := range want {
		if !slices.Contains(got, id) {
			t.Errorf("links %s, were %s", got, want)
		}
	}
	if got := dial(t, addr).do("CLIENT KILL ADDR " + before[0][1]); got != ":1\r\n" {
		t.Errorf("CLIENT KILL ADDR of the journal: %q", got)
	}
	var again [][]string
	proxytest.Poll(t, "another connection of the journal", func() bool {
		again = replicas(srv)
		return len(again) == 1 && again[0][0] != before[0][0]
	})
	if got := dial(t, addr).do("CLIENT KILL ID " + again[0][0]); got != ":1\r\n" {
		t.Errorf("CLIENT KILL ID of the journal: %q", got)
	}
	recorded(t, s, srv)
}

var lineIDs = regexp.MustCompile(`(?m)^id=(\d+) .* cmd=(\S+)`)

// linkIDs are the ids of the connections to the server that have sent a PING last.
func linkIDs(t *testing.T, srv *proxytest.Server) (out []string) {
	list, _ := srv.MustDo("CLIENT", "LIST").(string)
	for _, m := range lineIDs.FindAllStringSubmatch(list, -1) {
		if m[2] == "ping" {
			out = append(out, m[1])
		}
	}
	if len(out) == 0 {
		t.Fatalf("no link in %s", list)
	}
	return out
}

// TestKillWithoutReply: CLIENT KILL selects clients also where replies are turned off.
func TestKillWithoutReply(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	for _, row := range []string{"CLIENT REPLY OFF", "CLIENT REPLY SKIP"} {
		c, sub, direct := dial(t, addr), dial(t, addr), dial(t, srv.Addr)
		sub.do("SUBSCRIBE ch")
		direct.do("SUBSCRIBE ch")
		c.send(row + "\r\nCLIENT KILL TYPE pubsub\r\n")
		sub.expectEOF()
		direct.expectEOF()
		c.send("CLIENT REPLY ON\r\nGET k\r\n")
		c.expect("+OK\r\n$-1\r\n")
	}
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">b", "~*", "+@all", "-client|kill")
	c, sub := dial(t, addr), dial(t, addr)
	sub.do("SUBSCRIBE ch")
	c.do("AUTH bob b")
	c.send("CLIENT REPLY OFF\r\nCLIENT KILL TYPE pubsub\r\nCLIENT REPLY ON\r\n")
	c.expect("+OK\r\n")
	if got := sub.do("PING"); !strings.Contains(got, "pong") {
		t.Errorf("killed by a user who may not: %q", got)
	}
}

// TestUnblockWithoutReply: CLIENT UNBLOCK and TRACKING REDIRECT speak of clients also where replies are
// turned off.
func TestUnblockWithoutReply(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Workers = 2 })
	idOf := func(c *conn) string { return strings.TrimSpace(strings.TrimPrefix(c.do("CLIENT ID"), ":")) }
	for _, row := range []string{"CLIENT REPLY OFF", "CLIENT REPLY SKIP"} {
		c, blocked, target, writer := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		id := idOf(blocked)
		blocked.send("BLPOP nothing 0\r\n")
		proxytest.Poll(t, "it is blocked", func() bool { return srv.Info("clients")["blocked_clients"] == "1" })
		c.send(row + "\r\nCLIENT UNBLOCK " + id + "\r\nCLIENT REPLY ON\r\n")
		blocked.expect("*-1\r\n")
		c.expect("+OK\r\n")

		id = idOf(target)
		target.do("SUBSCRIBE __redis__:invalidate")
		c.send(row + "\r\nCLIENT TRACKING ON REDIRECT " + id + "\r\nCLIENT REPLY ON\r\n")
		c.expect("+OK\r\n")
		if got := c.do("CLIENT GETREDIR"); got != ":"+id+"\r\n" {
			t.Errorf("%s: redirected to %q, want %s", row, got, id)
		}
		c.do("GET k")
		writer.do("SET k v")
		target.expect("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n")
		writer.do("DEL k")
	}
}

// TestKillWithoutList: a user who may kill clients and not list them kills the right ones.
func TestKillWithoutList(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Workers = 2 })
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">b", "~*", "-@all", "+client|kill", "+ping")
	c, sub, direct, plain := dial(t, addr), dial(t, addr), dial(t, srv.Addr), dial(t, addr)
	sub.do("SUBSCRIBE ch")
	direct.do("SUBSCRIBE ch")
	c.do("AUTH bob b")
	if got := c.do("CLIENT KILL TYPE pubsub"); got != ":2\r\n" {
		t.Errorf("got %q", got)
	}
	sub.expectEOF()
	direct.expectEOF()
	if got := plain.do("PING"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
	if got := c.do("CLIENT LIST"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("CLIENT LIST: %q", got)
	}
}

// TestKillByUnixSocket: where the proxy's connections have no address of their own, they are known by
// their ids and names, and the journal by being a replica.
func TestKillByUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	srv := proxytest.Spec{Kind: "valkey9", Args: append([]string{"--unixsocket", socket}, journalArgs...)}.Start(t)
	addr, s := serveServer(t, "unix:"+socket, withJournal(filepath.Join(dir, "journal")), withMark,
		func(o *proxy.Options) {
			o.Listeners = append(o.Listeners, proxy.Listener{Address: "unix:" + filepath.Join(dir, "p")})
		})
	wholeAndMarked(t, s, srv) // by a connection of the journal's that stays
	before := fmt.Sprint(replicas(srv))
	c, sub := dial(t, addr), dial(t, addr)
	sub.do("SUBSCRIBE ch")
	local, err := net.Dial("unix", filepath.Join(dir, "p"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	u := &conn{local, t, bufio.NewReader(local)}
	u.do("CLIENT SETNAME local")
	for _, row := range []struct{ filter, want string }{
		{"TYPE replica", ":0\r\n"}, {"NAME nobody", ":0\r\n"}, {"FLAGS U NOT-NAME local", ":0\r\n"},
		{"FLAGS U NOT-TYPE normal", ":0\r\n"}, {"TYPE pubsub FLAGS P NOT-FLAGS U", ":1\r\n"},
		{"IP 127.0.0.1 NAME local", ":0\r\n"}, {"FLAGS U", ":1\r\n"},
	} {
		if got := c.do("CLIENT KILL " + row.filter); got != row.want {
			t.Errorf("CLIENT KILL %s: %q, want %q", row.filter, got, row.want)
		}
	}
	sub.expectEOF()
	u.expectEOF()
	if got := fmt.Sprint(replicas(srv)); got != before {
		t.Errorf("the journal's connection is %s, was %s", got, before)
	}
}

// A KILL that selects hundreds of clients answers once they are closed, alone and in MULTI.
func TestKillOfManyClients(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "victim", "on", ">v", "~*", "&*", "+@all")
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Workers = 2 })
	for _, inMulti := range []bool{false, true} {
		var victims []*conn
		for range 300 {
			v := dial(t, addr)
			v.do("AUTH victim v")
			victims = append(victims, v)
		}
		killer := dial(t, addr)
		if inMulti {
			killer.do("MULTI")
			killer.do("CLIENT KILL USER victim")
			if got := killer.do("EXEC"); got != "*1\r\n:300\r\n" {
				t.Errorf("in MULTI: %q", got)
			}
		} else if got := killer.do("CLIENT KILL USER victim"); got != ":300\r\n" {
			t.Errorf("got %q", got)
		}
		for _, v := range victims {
			v.expectEOF()
		}
	}
}
