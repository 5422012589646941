package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// WAIT and WAITAOF do for a user what they do directly, whatever channels the user may publish to.
func TestWaitOfRestrictedUsers(t *testing.T) {
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: bin.Kind, Args: []string{"--appendonly", "yes",
				"--appendfsync", "always"}}.Start(t)
			replica := proxytest.Spec{Kind: bin.Kind}.Start(t)
			_, port, _ := strings.Cut(srv.Addr, ":")
			replica.MustDo("REPLICAOF", "127.0.0.1", port)
			proxytest.Poll(t, "the replica is online", func() bool {
				return strings.Contains(srv.Info("replication")["slave0"], "state=online")
			})
			addr := serve(t, srv.Addr, asControl(srv))
			users := map[string][]string{
				"nochannels": {"~*", "resetchannels", "+@all"},
				"few":        {"~*", "resetchannels", "+get", "+set", "+wait", "+waitaof"},
				"neither":    {"~*", "resetchannels", "+get", "+set"},
			}
			for name, words := range users {
				args := []any{"ACL", "SETUSER", name, "on", ">one"}
				for _, w := range words {
					if w == "+waitaof" && strings.HasPrefix(bin.Kind, "redis7") {
						continue
					}
					args = append(args, w)
				}
				srv.MustDo(args...)
			}
			for name := range users {
				direct, through := dial(t, srv.Addr), dial(t, addr)
				lines := []string{"AUTH " + name + " one", "SET k 1", "WAIT 1 10000", "SET k 2",
					"WAITAOF 1 0 10000", "WAIT 1 10000", "GET k", "WAIT x 1", "WAIT 1", "WAIT 0 0",
					"WAIT 2 10", "SET k 3", "WAIT 1 10000"}
				srv.MustDo("ACL", "LOG", "RESET")
				want := direct.speak(lines...)
				logged := len(srv.MustDo("ACL", "LOG").([]any))
				srv.MustDo("ACL", "LOG", "RESET")
				if got := through.speak(lines...); got != want {
					t.Errorf("%s: through the proxy:\n%s\ndirectly:\n%s", name, got, want)
				}
				if n := len(srv.MustDo("ACL", "LOG").([]any)); n != logged {
					t.Errorf("%s: %d lines in ACL LOG, directly %d: %v", name, n, logged, srv.MustDo("ACL", "LOG"))
				}
				if got, want := through.do("ACL WHOAMI"), direct.do("ACL WHOAMI"); got != want {
					t.Errorf("%s: is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// Where the control user cannot log in, WAIT works for users who may publish or swap.
func TestWaitWithoutControlUser(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	replicaOf(t, srv)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Upstream.Username, o.Upstream.Password = "nobody", "x"
	})
	srv.MustDo("ACL", "SETUSER", "may", "on", ">one", "~*", "&*", "+@all")
	srv.MustDo("ACL", "SETUSER", "nochannels", "on", ">one", "~*", "resetchannels", "+@all")
	srv.MustDo("ACL", "SETUSER", "maynot", "on", ">one", "~*", "resetchannels", "+@all", "-swapdb")
	for user, want := range map[string]string{"may": ":1\r\n", "nochannels": ":1\r\n",
		"maynot": "-NOPERM"} {
		c := dial(t, addr)
		c.do(fmt.Sprintf("AUTH %s one", user))
		c.do("SET k v")
		if got := c.do("WAIT 1 10000"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", user, got, want)
		}
		if got := c.do("GET k"); got != "$1\r\nv\r\n" {
			t.Errorf("%s: behind it: %q", user, got)
		}
	}
}

// WAIT does the same for the user default, whatever its permissions, and counts no replica that lacks a
// write.
func TestWaitOfTheUserDefault(t *testing.T) {
	cases := []struct {
		name, password string
		words          []any
	}{
		{name: "may publish", words: []any{"+@all", "allchannels"}},
		{name: "may swap", words: []any{"+@all", "resetchannels"}},
		{name: "has a password", words: []any{"resetpass", ">secret"}, password: "secret"},
		{name: "may do neither, has a password", words: []any{"-swapdb"}, password: "secret"},
		{name: "may do neither", words: []any{"nopass"}},
		{name: "may do little", words: []any{"-@all", "+get", "+set", "+wait", "+replconf", "+psync", "+ping"}},
	}
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			control := asControl(srv) // makes that user
			replica := proxytest.Spec{Kind: bin.Kind, Args: []string{"--masteruser", "control",
				"--masterauth", "control"}}.Start(t)
			_, port, _ := strings.Cut(srv.Addr, ":")
			replica.MustDo("REPLICAOF", "127.0.0.1", port)
			addr := serve(t, srv.Addr, control)
			operator := dial(t, srv.Addr)
			operator.do("AUTH control control")
			proxytest.Poll(t, "the replica is online", func() bool {
				return strings.Contains(operator.do("INFO replication"), "state=online")
			})
			for _, c := range cases {
				words := append([]any{"ACL", "SETUSER", "default"}, c.words...)
				var command []string
				for _, w := range words {
					command = append(command, w.(string))
				}
				operator.do(strings.Join(command, " "))
				enter := func(addr string) *conn {
					client := dial(t, addr)
					if c.password != "" {
						client.do("AUTH " + c.password)
					}
					return client
				}
				direct, through := enter(srv.Addr), enter(addr)
				lines := []string{"SET k 1", "WAIT 1 10000", "SET k 2", "WAIT 1 10000", "GET k", "WAIT x 1",
					"WAIT 0 0", "WAIT 2 10"}
				operator.do("ACL LOG RESET")
				if want, got := direct.speak(lines...), through.speak(lines...); got != want {
					t.Errorf("%s: through the proxy:\n%s\ndirectly:\n%s", c.name, got, want)
				}
				if log := operator.do("ACL LOG"); log != "*0\r\n" {
					t.Errorf("%s: ACL LOG: %q", c.name, log)
				}
				replica.Pause()
				through.do("SET k 3")
				if got := through.do("WAIT 1 50"); got != ":0\r\n" {
					t.Errorf("%s: the replica lacks the write; WAIT: %q", c.name, got)
				}
				first := enter(addr)
				first.do("SET k 4")
				if got := first.do("WAIT 1 50"); got != ":0\r\n" {
					t.Errorf("%s: a first WAIT while the replica lacks the write: %q", c.name, got)
				}
				replica.Resume()
			}
		})
	}
}

// A delete that the trash carries out on another connection counts, too.
func TestWaitCoversTheTrash(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	replica := replicaOf(t, srv)
	addr := serve(t, srv.Addr, withRules(rule("trash", "del")))
	c := dial(t, addr)
	c.do("MSET a 1 b 2")
	if got := c.do("WAIT 1 10000"); got != ":1\r\n" {
		t.Fatalf("WAIT: %q", got)
	}
	replica.Pause()
	defer replica.Resume()
	if got := c.do("DEL a"); got != ":1\r\n" {
		t.Fatalf("DEL: %q", got)
	}
	if got := c.do("WAIT 1 50"); got != ":0\r\n" {
		t.Errorf("the replica lacks the delete; WAIT: %q", got)
	}
}
