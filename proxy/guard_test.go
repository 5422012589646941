package proxy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/guard"
	"holdfast/proxy/proxytest"
)

func withGuard(o *proxy.Options) { o.Guard = true }

// guardUsers is the guards' users on a server.
func guardUsers(srv *proxytest.Server) (out []string) {
	for _, u := range srv.MustDo("ACL", "USERS").([]any) {
		if name := u.(string); strings.HasPrefix(name, "holdfast-guard-") {
			out = append(out, name)
		}
	}
	return out
}

// any calls whatever command it is given: nobody can know which by reading it.
const anyCall = "return redis.call(unpack(ARGV))"

func (c *conn) eval(words ...string) string {
	c.t.Helper()
	c.send(proxytest.Command(append([]string{"EVAL", anyCall, "0"}, words...)...))
	return c.reply()
}

// expectRefused checks that the server itself refused a call, and did not name the guard's user.
func expectRefused(t *testing.T, got string) {
	t.Helper()
	acl := strings.Contains(got, "ACL failure") || strings.Contains(got, "can't run this command") ||
		strings.HasPrefix(got, "-NOPERM")
	if !acl || strings.Contains(got, "holdfast") {
		t.Errorf("got %q, want the server's refusal", got)
	}
}

func TestGuardBindsScripts(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("SET", "k", "v")
		srv.MustDo("FUNCTION", "LOAD", library("l", "f", "return redis.call(unpack(args))"))
		sha := srv.MustDo("SCRIPT", "LOAD", anyCall).(string)
		t.Run("serving", func(t *testing.T) {
			addr := serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall", "flushdb")))
			c := dial(t, addr)
			for _, proto := range []string{"2", "3"} {
				c.do("HELLO " + proto)
				expectRefused(t, c.eval("FlushAll"))
				if got := c.eval("get", "k"); got != "$1\r\nv\r\n" {
					t.Errorf("what rules allow: %q", got)
				}
				c.send(proxytest.Command("EVALSHA", sha, "0", "flushdb", "async"))
				expectRefused(t, c.reply())
				c.send(proxytest.Command("FCALL", "f", "0", "flushall"))
				expectRefused(t, c.reply())
				c.send(proxytest.Command("FCALL", "f", "0", "get", "k"))
				c.expect("$1\r\nv\r\n")
			}
			// Behind a command that has a link to itself, the guard binds all the same.
			c.send("BLPOP none 0.01\r\n" + proxytest.Command("EVAL", anyCall, "0", "flushall"))
			c.reply()
			expectRefused(t, c.reply())
			c.send("BLPOP none 0.01\r\n" + proxytest.Command("EVAL", anyCall, "0", "ping"))
			c.reply()
			c.expect("+PONG\r\n")
			// A script in a transaction is bound as well.
			c.send("MULTI\r\n" + proxytest.Command("EVAL", anyCall, "0", "flushall") + "EXEC\r\n")
			c.expect("+OK\r\n+QUEUED\r\n*1\r\n")
			expectRefused(t, c.reply())
			c.send("SELECT 1\r\nACL WHOAMI\r\nSELECT 0\r\n")
			c.expect("+OK\r\n$7\r\ndefault\r\n+OK\r\n")
			if n := len(guardUsers(srv)); n != 1 {
				t.Errorf("%d guards' users", n)
			}
		})
		if users := guardUsers(srv); len(users) > 0 {
			t.Errorf("left behind: %v", users)
		}
		if srv.MustDo("GET", "k") != "v" {
			t.Error("the data is gone")
		}
	})
}

// The guard's user may never do what the user default may not.
func TestGuardCopiesTheDefaultUser(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "root", "on", ">x", "~*", "&*", "+@all")
	srv.MustDo("MSET", "app:1", "a", "other", "o", "read:1", "r")
	srv.MustDo("ACL", "SETUSER", "default", "resetkeys", "~app:*", "-config", "-incr",
		"(+get +del ~read:*)")
	c := dial(t, serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall", "unlink")),
		func(o *proxy.Options) { o.Upstream.Username, o.Upstream.Password = "root", "x" }))
	for _, key := range []string{"app:1", "read:1"} {
		if got := c.eval("get", key); got[0] != '$' {
			t.Errorf("%s: %q", key, got)
		}
	}
	for _, words := range [][]string{{"get", "other"}, {"set", "read:1", "x"}, {"incr", "app:2"},
		{"flushall"}, {"unlink", "app:1"}, {"unlink", "read:1"}} {
		if got := c.eval(words...); got[0] != '-' || strings.HasPrefix(got, "-DENIED") {
			t.Errorf("%v: %q", words, got)
		}
	}
	if got := c.eval("del", "read:1"); got != ":1\r\n" {
		t.Errorf("what the selector allows: %q", got)
	}
}

// The guard follows the rules, and comes back when its user, or the whole server, was gone.
func TestGuardIsKept(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var next proxy.Options
	addr, p := serveServer(t, srv.Addr, withGuard, withRules(rule("deny", "flushall")),
		func(o *proxy.Options) {
			o.LoadOptions = func() (proxy.Options, error) { return next, nil }
			next = *o
		})
	c := dial(t, addr)
	// While the guard is made anew the proxy refuses opaque code itself.
	refused := func(command ...string) {
		t.Helper()
		got := ""
		proxytest.Poll(t, "the server's own refusal", func() bool {
			got = c.eval(command...)
			return !strings.HasPrefix(got, "-DENIED 'eval'")
		})
		expectRefused(t, got)
	}
	guarded := func(what string) {
		t.Helper()
		proxytest.Poll(t, what, func() bool {
			got := c.eval("ping")
			return got == "+PONG\r\n"
		})
		refused("flushall")
	}
	guarded("at first")
	for _, name := range guardUsers(srv) {
		srv.MustDo("ACL", "DELUSER", name)
	}
	guarded("after its user was deleted")
	srv.Kill()
	srv.Restart()
	guarded("after the server was restarted")
	// The guard may be made anew once more, when the restart is seen; opaque code is refused meanwhile.
	proxytest.Poll(t, "what no rule refuses runs, before the reload", func() bool {
		return c.eval("keys", "*") == "*0\r\n"
	})
	next.Rules = []policy.RuleSpec{rule("deny", "flushall", "keys")}
	if _, err := p.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	refused("keys", "*")
	next.Guard = false
	if _, err := p.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := c.eval("ping"); !strings.HasPrefix(got, "-DENIED 'eval'") {
		t.Errorf("without a guard: %q", got)
	}
}

// Each proxy has a user of its own, and one that ends takes nothing from the other.
func TestGuardOfTwoProxies(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	rules := withRules(rule("deny", "flushall"))
	a := dial(t, serve(t, srv.Addr, withGuard, rules))
	t.Run("other", func(t *testing.T) {
		b := dial(t, serve(t, srv.Addr, withGuard, rules))
		for range 3 {
			expectRefused(t, a.eval("flushall"))
			expectRefused(t, b.eval("flushall"))
		}
		if users := guardUsers(srv); len(users) != 2 {
			t.Errorf("users: %v", users)
		}
	})
	if users := guardUsers(srv); len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	srv.MustDo("CLIENT", "KILL", "USER", guardUsers(srv)[0])
	proxytest.Poll(t, "a new link", func() bool { return a.eval("ping") == "+PONG\r\n" })
	expectRefused(t, a.eval("flushall"))
}

// Where the control user may not keep a guard, opaque code is refused, and nothing else changes.
func TestGuardThatCannotBe(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "weak", "on", ">x", "~*", "&*", "+@all", "-acl")
	c := dial(t, serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall")),
		func(o *proxy.Options) { o.Upstream.Username, o.Upstream.Password = "weak", "x" }))
	if got := c.eval("ping"); !strings.HasPrefix(got, "-DENIED 'eval'") {
		t.Errorf("opaque: %q", got)
	}
	c.send(proxytest.Command("EVAL", "return redis.call('ping')", "0"))
	c.expect("+PONG\r\n")
}

// A client that has not logged in where it must does not get in as the guard's user, and one that
// is another user runs its scripts as that.
func TestGuardLetsNobodyIn(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t, "--requirepass", "secret")
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "&*", "+@all")
	addr := serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall")),
		func(o *proxy.Options) { o.Upstream.Password = "secret" })
	c := dial(t, addr)
	literal := proxytest.Command("EVAL", "return redis.call('ping')", "0")
	for _, frame := range []string{literal, proxytest.Command("EVAL", anyCall, "0", "ping")} {
		c.send(frame)
		if got := c.reply(); got[0] != '-' || strings.Contains(got, "PONG") {
			t.Errorf("without a login: %q", got)
		}
	}
	for _, login := range []string{"AUTH secret", "AUTH default secret"} {
		c.do(login)
		c.send(literal)
		c.expect("+PONG\r\n")
		expectRefused(t, c.eval("flushall"))
	}
	c.do("AUTH bob x")
	c.send(literal)
	c.expect("+PONG\r\n")
	if got := c.eval("ping"); !strings.HasPrefix(got, "-DENIED 'eval'") {
		t.Errorf("bob has no guard: %q", got)
	}
	names := fmt.Sprint(srv.MustDo("CLIENT", "LIST"))
	if !slices.ContainsFunc(guardUsers(srv), func(u string) bool { return strings.Contains(names, u) }) {
		t.Error("no link is the guard's")
	}
}

// What a proxy that was killed left behind is deleted, and what a living one needs is not.
func TestGuardsOfTheDeadAreDeleted(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	dead, living := guard.Prefix+"00000000-dead0000", guard.Prefix+"00000000-cafe0000"
	foreign := guard.Prefix + "mine"
	for _, name := range []string{dead, living, foreign} {
		srv.MustDo("ACL", "SETUSER", name, "on", ">x")
	}
	other := dial(t, srv.Addr)
	other.do("CLIENT SETNAME holdfast-control-cafe0000")
	serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall")))
	proxytest.Poll(t, "the user is deleted", func() bool {
		return !slices.Contains(guardUsers(srv), dead)
	})
	for _, name := range []string{living, foreign} {
		if !slices.Contains(guardUsers(srv), name) {
			t.Errorf("%s is gone", name)
		}
	}
}

// Nobody becomes the guard's user, or changes it, through the proxy; what others change is put right.
func TestGuardIsOutOfReach(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("SET", "k", "v")
		addr := serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall")))
		name := guardUsers(srv)[0]
		srv.MustDo("ACL", "SETUSER", name, ">known")
		c := dial(t, addr)
		c.do("SET a 1")
		for _, row := range []struct{ line, want string }{
			{"AUTH " + name + " known", "-WRONGPASS"},
			{"HELLO 3 AUTH " + name + " known", "-WRONGPASS"},
			{"ACL SETUSER " + name + " +flushall", "-DENIED 'acl setuser'"},
			{"acl setuser \"" + name + "\" reset", "-DENIED 'acl setuser'"},
			{"ACL DELUSER x " + name, "-DENIED 'acl deluser'"},
			{"MULTI", "+OK"},
			{"ACL SETUSER " + name + " +flushall", "-DENIED 'acl setuser'"},
			{"AUTH " + name + " known", "-WRONGPASS"},
			{"EXEC", "-EXECABORT"},
			{"WATCH k", "+OK"},
			{"AUTH " + name + " known", "-WRONGPASS"},
			{"ACL SETUSER " + name + " +flushall", "-DENIED 'acl setuser'"},
			{"UNWATCH", "+OK"},
			{"SUBSCRIBE x", "*3"},
			{"ACL SETUSER " + name + " +flushall", "-DENIED 'acl setuser'"},
			{"UNSUBSCRIBE x", "*3"},
			{"ACL WHOAMI", "$7\r\ndefault"},
		} {
			if got := c.do(row.line); !strings.HasPrefix(got, row.want) {
				t.Errorf("%s: got %q, want %s", row.line, got, row.want)
			}
		}
		// A change of it on the server itself does not last.
		srv.MustDo("ACL", "SETUSER", name, "+flushall", "+@all")
		proxytest.Poll(t, "the user is as it was", func() bool {
			user := fmt.Sprint(srv.MustDo("ACL", "GETUSER", name))
			return strings.Contains(user, "-flushall") && strings.Count(user, "passwords") == 1
		})
		expectRefused(t, dial(t, addr).eval("flushall"))
	})
}

// What the user default loses, the guard's user loses.
func TestGuardFollowsTheDefaultUser(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	c := dial(t, serve(t, srv.Addr, withGuard, withRules(rule("deny", "flushall"))))
	if got := c.eval("set", "k", "v"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	if got := c.do("ACL SETUSER default -set"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	proxytest.Poll(t, "the guard follows", func() bool {
		return !strings.HasPrefix(c.eval("set", "k", "v"), "+")
	})
	if users := guardUsers(srv); len(users) > 2 {
		t.Errorf("users: %v", users)
	}
}
