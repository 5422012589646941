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

// Where the control user cannot log in, WAIT works for whoever may publish.
func TestWaitWithoutControlUser(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	replicaOf(t, srv)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Upstream.Username, o.Upstream.Password = "nobody", "x"
	})
	srv.MustDo("ACL", "SETUSER", "may", "on", ">one", "~*", "&*", "+@all")
	srv.MustDo("ACL", "SETUSER", "maynot", "on", ">one", "~*", "resetchannels", "+@all")
	for user, want := range map[string]string{"may": ":1\r\n", "maynot": "-NOPERM"} {
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
