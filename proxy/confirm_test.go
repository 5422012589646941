package proxy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

var confirmToken = regexp.MustCompile(`^-CONFIRM .* run APPROVE ([a-z0-9]{4}-[a-z0-9]{4}) on`)

// held sends a command that has to be approved and returns its token.
func (c *conn) held(frame string) string {
	c.t.Helper()
	c.send(frame)
	got := c.reply()
	m := confirmToken.FindStringSubmatch(got)
	if m == nil {
		c.t.Fatalf("%q: got %q, want -CONFIRM", frame, got)
	}
	return m[1]
}

func approve(t *testing.T, srv *proxy.Served, token string) {
	t.Helper()
	if p, err := srv.Approve(t.Context(), strings.ToUpper(token), "test"); p == nil || err != nil {
		t.Fatalf("APPROVE %s: %v, %v", token, p, err)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("SET", "a", "1")
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "flushall", "del")))
	c, other := dial(t, addr), dial(t, addr)

	token := c.held("FLUSHALL\r\n")
	if again := other.held("FLUSHALL\r\n"); again != token {
		t.Errorf("the same command waits as %s and %s", token, again)
	}
	if server.MustDo("DBSIZE") != int64(1) {
		t.Fatal("it was carried out")
	}
	list, err := srv.Pending(t.Context())
	if err != nil || len(list) != 1 || list[0].Command != "flushall" || list[0].Asked != 2 ||
		list[0].User != "default" || list[0].Addr != c.LocalAddr().String() || list[0].Approved {
		t.Errorf("pending: %+v, %v", list, err)
	}
	approve(t, srv, token)
	// Another spelling, argument or database is another command.
	for _, frame := range []string{"flushall\r\n", "FLUSHALL ASYNC\r\n", "DEL a\r\n"} {
		if got := c.held(frame); got == token {
			t.Errorf("%q got the token of another command", frame)
		}
	}
	c.do("SELECT 1")
	if c.held("FLUSHALL\r\n") == token {
		t.Error("another database got the same token")
	}
	c.do("SELECT 0")
	// One passes, and only one.
	c.send("FLUSHALL\r\nFLUSHALL\r\n")
	c.expect("+OK\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-CONFIRM") || strings.Contains(got, token) {
		t.Errorf("the second: %q", got)
	}
	if server.MustDo("DBSIZE") != int64(0) {
		t.Error("it was not carried out")
	}
}

func TestConfirmIsOfOneUser(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "+@all")
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "flushall")))
	c, bob := dial(t, addr), dial(t, addr)
	bob.do("AUTH bob x")
	token := c.held("FLUSHALL\r\n")
	approve(t, srv, token)
	if bob.held("FLUSHALL\r\n") == token {
		t.Error("another user has the same token")
	}
	c.send("FLUSHALL\r\n")
	c.expect("+OK\r\n")
}

func TestReject(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "flushall")))
	c := dial(t, addr)
	token := c.held("FLUSHALL\r\n")
	approve(t, srv, token)
	if p, err := srv.Reject(t.Context(), token, "test"); p == nil || err != nil {
		t.Fatal(p, err)
	}
	if again := c.held("FLUSHALL\r\n"); again == token {
		t.Error("the token lives on")
	}
	if p, _ := srv.Approve(t.Context(), token, "test"); p != nil {
		t.Error("a rejected token was approved")
	}
}

// Inside MULTI there is nothing to approve, and an approval is not used up.
func TestConfirmInMulti(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("SET", "a", "1")
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "flushall")))
	c := dial(t, addr)
	approve(t, srv, c.held("FLUSHALL\r\n"))
	c.send("MULTI\r\nFLUSHALL\r\nEXEC\r\n")
	c.expect("+OK\r\n")
	if got := c.reply(); !strings.HasPrefix(got, "-DENIED 'flushall' cannot be part of a trans") {
		t.Errorf("in MULTI: %q", got)
	}
	if got := c.reply(); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("EXEC: %q", got)
	}
	// The approved frame has to wait for the BLPOP before it, and passes all the same, once.
	c.send("BLPOP none 0.01\r\nGET a\r\nFLUSHALL\r\nGET a\r\n")
	c.expect("*-1\r\n$1\r\n1\r\n+OK\r\n$-1\r\n")
	c.held("FLUSHALL\r\n")
	rules, _ := srv.Rules(t.Context())
	if r := rules[0]; r.Held != 2 || r.Approved != 1 || r.Denied != 1 {
		t.Errorf("%+v", r)
	}
}

// An approval is for the database that it was asked for, also where only the server knows which one is
// selected.
func TestConfirmIsOfOneDatabase(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("SET", "a", "1")
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "flushdb")))
	c := dial(t, addr)
	token := c.held("FLUSHDB\r\n")
	approve(t, srv, token)
	c.send("MULTI\r\nSELECT 1\r\nSET b 1\r\nEXEC\r\n")
	for range 4 {
		c.reply()
	}
	for range 2 {
		if c.held("FLUSHDB\r\n") == token {
			t.Fatal("the approval covers another database")
		}
	}
	c.send("CLIENT REPLY OFF\r\nSELECT 0\r\nSELECT 1\r\nCLIENT REPLY ON\r\n")
	c.expect("+OK\r\n")
	if c.held("FLUSHDB\r\n") == token {
		t.Fatal("the approval covers another database")
	}
	if got := c.do("EXISTS b"); got != ":1\r\n" {
		t.Errorf("b: %q", got)
	}
	c.do("SELECT 0")
	c.send("FLUSHDB\r\n")
	c.expect("+OK\r\n")
}

// An approval does not follow the proxy to another server.
func TestConfirmIsOfOneServer(t *testing.T) {
	t.Parallel()
	one, two := proxytest.StartServer(t), proxytest.StartServer(t)
	two.MustDo("SET", "a", "1")
	var next proxy.Options
	addr, srv := serveServer(t, one.Addr, withRules(rule("confirm", "flushall")),
		func(o *proxy.Options) {
			o.LoadOptions = func() (proxy.Options, error) { return next, nil }
			next = *o
		})
	c := dial(t, addr)
	token := c.held("FLUSHALL\r\n")
	approve(t, srv, token)
	next.Upstream.Address = two.Addr
	if _, err := srv.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.held("FLUSHALL\r\n") == token || two.MustDo("DBSIZE") != int64(1) {
		t.Error("an approval for one server was good for another")
	}
}

// Nobody fills the memory with commands that wait, nor keeps others from asking.
func TestConfirmIsBounded(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "+@all")
	addr, srv := serveServer(t, server.Addr, withRules(rule("confirm", "del")))
	c, bob := dial(t, addr), dial(t, addr)
	for i := range 150 {
		c.send(fmt.Sprintf("DEL %d\r\n", i))
		if got := c.reply(); !strings.HasPrefix(got, "-CONFIRM") ||
			strings.Contains(got, "APPROVE") != (i < 100) {
			t.Fatalf("%d: %q", i, got)
		}
	}
	if list, _ := srv.Pending(t.Context()); len(list) != 100 {
		t.Errorf("%d wait", len(list))
	}
	bob.do("AUTH bob x")
	bob.held("DEL 1\r\n")
}

// A limit bounds the asking; what was approved passes beside it.
func TestConfirmWithLimit(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	limited := rule("confirm", "flushall")
	limited.Limit = &policy.LimitSpec{Rate: "1/h", Burst: 1}
	addr, srv := serveServer(t, server.Addr, withRules(limited))
	c := dial(t, addr)
	token := c.held("FLUSHALL\r\n")
	if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-THROTTLED") {
		t.Errorf("got %q", got)
	}
	approve(t, srv, token)
	c.send("FLUSHALL\r\n")
	c.expect("+OK\r\n")
}
