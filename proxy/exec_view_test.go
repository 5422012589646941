package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/resp"
)

// exec runs a transaction and returns the elements of its reply.
func (c *conn) exec(lines ...string) []resp.Value {
	c.t.Helper()
	c.send("MULTI\r\n")
	for _, line := range lines {
		c.send(line + "\r\n")
	}
	c.send("EXEC\r\n")
	for range 1 + len(lines) {
		if s := c.reply(); s != "+OK\r\n" && s != "+QUEUED\r\n" {
			c.t.Fatalf("queueing %q: %q", lines, s)
		}
	}
	v, _, err := resp.Parse([]byte(c.reply()))
	if err != nil || len(v.Elems) != len(lines) {
		c.t.Fatalf("EXEC of %q: %v, %v", lines, v, err)
	}
	return v.Elems
}

func (c *conn) id() string { return strings.Trim(c.do("CLIENT ID"), ":\r\n") }

// eachExec runs a test with one worker and with several, which hold the clients between them.
func eachExec(t *testing.T, test func(t *testing.T, srv *proxytest.Server, addr string)) {
	for _, kind := range []string{"valkey9", "redis"} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s-%d", kind, workers), func(t *testing.T) {
				srv := proxytest.Spec{Kind: kind}.Start(t)
				test(t, srv, serve(t, srv.Addr, func(o *proxy.Options) { o.Workers = workers }))
			})
		}
	}
}

// TestExecSpeaksOfSessions: inside MULTI, too, commands about connections are about clients.
func TestExecSpeaksOfSessions(t *testing.T) {
	eachExec(t, func(t *testing.T, srv *proxytest.Server, addr string) {
		other := dial(t, addr)
		other.do("CLIENT SETNAME other")
		c := dial(t, addr)
		c.do("CLIENT SETNAME before")
		id := c.id()
		r := c.exec("CLIENT ID", "CLIENT GETNAME", "CLIENT INFO", "CLIENT SETNAME after", "CLIENT GETNAME",
			"CLIENT LIST", "CLIENT LIST ID "+other.id(), "CLIENT GETREDIR", "SET k "+strings.Repeat("x", 9),
			"INFO clients", "HELLO 3")
		me := "id=" + id + " addr=" + c.LocalAddr().String() + " "
		if fmt.Sprint(r[0].Int) != id || string(r[1].Str) != "before" || string(r[4].Str) != "after" {
			t.Errorf("CLIENT ID %d, want %s; GETNAME %q, then %q", r[0].Int, id, r[1].Str, r[4].Str)
		}
		if got := string(r[2].Str); !strings.HasPrefix(got, me) || !strings.Contains(got, " name=before ") {
			t.Errorf("CLIENT INFO %q, want %q…", got, me)
		}
		list := string(r[5].Str)
		if strings.Count(list, "\n") != 2 || !strings.Contains(list, me) ||
			!strings.Contains(list, " name=other ") {
			t.Errorf("CLIENT LIST %q", list)
		}
		if got := string(r[6].Str); strings.Count(got, "\n") != 1 || !strings.Contains(got, " name=other ") {
			t.Errorf("CLIENT LIST ID %q", got)
		}
		if got := string(r[9].Str); !strings.Contains(got, "connected_clients:2\r\n") {
			t.Errorf("INFO %q", got)
		}
		if got := fmt.Sprint(r[10].Elems); !strings.Contains(got, id) {
			t.Errorf("HELLO %s, want id %s", got, id)
		}
		if got := c.do("CLIENT GETNAME"); got != "$5\r\nafter\r\n" {
			t.Errorf("CLIENT GETNAME after EXEC: %q", got)
		}
	})
}

// TestNameOutlastsExec: a session that gets a link of its own inside MULTI keeps its name there.
func TestNameOutlastsExec(t *testing.T) {
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr))
	c.do("CLIENT SETNAME mine")
	c.exec("SELECT 1")
	if got := c.do("CLIENT GETNAME"); got != "$4\r\nmine\r\n" {
		t.Errorf("CLIENT GETNAME: %q", got)
	}
}

// TestExecKillsSessions: CLIENT KILL in a transaction selects clients, and does so only when EXEC
// was executed.
func TestExecKillsSessions(t *testing.T) {
	eachExec(t, func(t *testing.T, srv *proxytest.Server, addr string) {
		c, sub, plain, direct := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, srv.Addr)
		sub.do("SUBSCRIBE ch")
		plain.do("PING")
		c.send("MULTI\r\nCLIENT KILL TYPE pubsub\r\nDISCARD\r\n")
		c.expect("+OK\r\n+QUEUED\r\n+OK\r\n")
		c.send("WATCH w\r\nSET w 1\r\nMULTI\r\nCLIENT KILL TYPE pubsub\r\nEXEC\r\n")
		c.expect("+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\n*-1\r\n")
		if got := sub.do("PING"); !strings.Contains(got, "pong") {
			t.Fatalf("a transaction that was not executed: %q", got)
		}
		r := c.exec("CLIENT KILL TYPE pubsub", "CLIENT KILL NOSUCH x", "CLIENT KILL 1.2.3.4:5",
			"CLIENT KILL ID "+direct.id(), "CLIENT KILL "+plain.LocalAddr().String())
		sub.expectEOF()
		direct.expectEOF()
		plain.expectEOF()
		if r[0].Int != 1 || r[3].Int != 1 || string(r[4].Str) != "OK" || r[1].Type != '-' ||
			string(r[2].Str) != "ERR No such client" {
			t.Errorf("got %v", r)
		}
		r = c.exec("CLIENT KILL TYPE normal SKIPME no", "PING")
		if r[0].Int != 1 {
			t.Errorf("got %v", r)
		}
		c.expectEOF()
	})
}

// TestExecUnblocksSessions: CLIENT UNBLOCK in a transaction is about a session.
func TestExecUnblocksSessions(t *testing.T) {
	eachExec(t, func(t *testing.T, srv *proxytest.Server, addr string) {
		c, waits := dial(t, addr), dial(t, addr)
		id := waits.id()
		if r := c.exec("CLIENT UNBLOCK " + id); r[0].Int != 0 {
			t.Errorf("CLIENT UNBLOCK of a client that does not wait: %v", r)
		}
		waits.send("BLPOP nothing 0\r\n")
		proxytest.Poll(t, "a blocked client", func() bool {
			return srv.Info("clients")["blocked_clients"] == "1"
		})
		r := c.exec("CLIENT UNBLOCK "+id+" ERROR", "CLIENT UNBLOCK 1 NOSUCH")
		if r[0].Int != 1 || r[1].Type != '-' {
			t.Errorf("got %v", r)
		}
		waits.expect("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
	})
}

// TestExecRedirects: CLIENT TRACKING … REDIRECT in a transaction names a session.
func TestExecRedirects(t *testing.T) {
	eachExec(t, func(t *testing.T, srv *proxytest.Server, addr string) {
		c, to := dial(t, addr), dial(t, addr)
		id := to.id()
		to.do("SUBSCRIBE __redis__:invalidate")
		r := c.exec("CLIENT TRACKING ON REDIRECT "+id, "CLIENT GETREDIR", "GET k")
		if string(r[0].Str) != "OK" || fmt.Sprint(r[1].Int) != id {
			t.Errorf("got %v, want %s", r, id)
		}
		if got := c.do("CLIENT GETREDIR"); got != ":"+id+"\r\n" {
			t.Errorf("CLIENT GETREDIR after EXEC: %q, want %s", got, id)
		}
		srv.MustDo("SET", "k", "1")
		if got := to.reply(); !strings.Contains(got, "__redis__:invalidate") {
			t.Errorf("got %q, want an invalidation", got)
		}
	})
}

// A HELLO in MULTI, or without a reply, changes the protocol of what follows, messages included.
func TestHelloUnseen(t *testing.T) {
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr)
		for _, lines := range [][]string{
			{"MULTI", "HELLO 3", "CLIENT TRACKING ON", "EXEC"},
			{"CLIENT REPLY SKIP", "HELLO 3", "CLIENT TRACKING ON"},
			{"CLIENT REPLY OFF", "MULTI", "HELLO 3", "EXEC", "CLIENT REPLY ON", "CLIENT TRACKING ON"},
		} {
			c, other := dial(t, addr), dial(t, addr)
			c.send(strings.Join(lines, "\r\n") + "\r\nECHO begun\r\n")
			for got := ""; !strings.HasSuffix(got, "begun\r\n"); got = c.reply() {
			}
			other.do("SET k v")
			c.do("GET k")
			other.do("SET k w")
			if got := c.reply(); got[0] != '>' {
				t.Errorf("%q: got %q, want a message", lines, got)
			}
			if got := c.do("GET k"); got != "$1\r\nw\r\n" {
				t.Errorf("%q: GET got %q", lines, got)
			}
		}
	})
}
