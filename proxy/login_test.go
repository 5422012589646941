package proxy_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// asControl gives the proxy a user of its own, which no change of the tests touches.
func asControl(srv *proxytest.Server) func(*proxy.Options) {
	srv.MustDo("ACL", "SETUSER", "control", "on", ">control", "~*", "&*", "+@all")
	return func(o *proxy.Options) { o.Upstream.Username, o.Upstream.Password = "control", "control" }
}

var idField = regexp.MustCompile(`id\r\n:\d+`)

// speak sends lines one by one and returns what comes back, up to the end of the connection.
func (c *conn) speak(lines ...string) string {
	c.t.Helper()
	var out strings.Builder
	for _, line := range lines {
		_, err := io.WriteString(c, line+"\r\n")
		var reply string
		if err == nil {
			c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
			reply, err = readReply(c.r)
		}
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				c.t.Fatalf("%s: no reply", line)
			}
			return out.String() + "the end\n"
		}
		fmt.Fprintf(&out, "%s: %q\n", line, idField.ReplaceAllString(reply, "id"))
	}
	return out.String()
}

// A change of who may log in, as administrators make it: on the server, past the proxy.
type loginChange struct {
	name   string
	before []string // requests that make the server what it is before
	change []string
	// Who connected before, by what they sent, and what they send behind the change; and likewise who
	// connects behind it.
	old   map[string][]string
	fresh [][]string
	file  bool // the server has a file of users
}

var (
	wants   = []string{"GET k", "SET k v", "SELECT 1", "GET k", "MULTI", "GET k", "EXEC", "HELLO 3", "GET k"}
	asIs    = []string{"GET k", "SET k v"} // by the links that there are
	loginBy = func(login string) []string { return append([]string{login}, wants...) }
)

var loginChanges = []loginChange{
	{
		name:   "a password is set",
		change: []string{"CONFIG SET requirepass new"},
		old:    map[string][]string{"GET k": wants, "": asIs, "SELECT 2": asIs},
		fresh: [][]string{wants, {"HELLO 3", "GET k"}, {"HELLO 3 AUTH default new", "GET k"},
			loginBy("AUTH new"), {"AUTH other", "GET k"}, loginBy("AUTH default new"), {"NONSENSE 1", "GET"}},
	}, {
		name:   "a password is taken away",
		before: []string{"CONFIG SET requirepass old"},
		change: []string{"CONFIG SET requirepass ''"},
		old:    map[string][]string{"AUTH old": wants, "AUTH default old": wants, "GET k": {"GET k", "SELECT 1", "SET k v"}},
		fresh:  [][]string{wants, {"HELLO 3", "GET k"}, {"AUTH old", "GET k"}, loginBy("AUTH default old")},
	}, {
		name:   "a password is rotated",
		before: []string{"CONFIG SET requirepass old"},
		change: []string{"CONFIG SET requirepass new"},
		fresh:  [][]string{wants, {"AUTH old", "GET k"}, loginBy("AUTH new"), loginBy("HELLO 2 AUTH default new")},
		old:    map[string][]string{"AUTH old": wants, "GET k": {"GET k", "HELLO 3", "AUTH old", "AUTH new", "GET k"}},
	}, {
		name:   "default is switched off",
		change: []string{"ACL SETUSER default off"},
		old:    map[string][]string{"GET k": asIs, "AUTH default any": asIs},
		fresh:  [][]string{wants, {"AUTH default any", "GET k"}, {"HELLO 3", "GET k"}},
	}, {
		name:   "default is switched on",
		before: []string{"ACL SETUSER default off"},
		change: []string{"ACL SETUSER default on"},
		old:    map[string][]string{"GET k": {"GET k", "SELECT 1", "SET k v"}, "": wants[:4]},
		fresh:  [][]string{wants, {"HELLO 3", "GET k"}},
	}, {
		name:   "default is reset",
		change: []string{"ACL SETUSER default reset"},
		old:    map[string][]string{"GET k": {"GET k"}},
		fresh:  [][]string{{"GET k", "AUTH default x"}},
	}, {
		name:   "a user is deleted",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL DELUSER app"},
		old:    map[string][]string{"AUTH app one": {"GET k"}, "HELLO 3 AUTH app one": {"GET k"}},
		fresh:  [][]string{{"AUTH app one", "GET k"}},
	}, {
		name:   "a user is deleted and made again with another password",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL DELUSER app", "ACL SETUSER app on >two ~* &* +@all"},
		fresh:  [][]string{loginBy("AUTH app two"), {"AUTH app one", "GET k"}},
		old:    map[string][]string{"AUTH app one": {"GET k"}},
	}, {
		name:   "a user's password is rotated",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL SETUSER app resetpass >two"},
		fresh:  [][]string{loginBy("AUTH app two"), {"AUTH app one", "GET k"}},
		old:    map[string][]string{"AUTH app one\r\nGET k": wants, "HELLO 3 AUTH app one\r\nGET k": wants},
	}, {
		name:   "a user's password is rotated twice",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL SETUSER app resetpass >two", "ACL SETUSER app resetpass >three"},
		fresh:  [][]string{{"AUTH app two", "GET k"}, loginBy("AUTH app three")},
		old:    map[string][]string{"AUTH app one\r\nGET k": wants},
	}, {
		name:   "a user's password is rotated, and then the user is deleted and made again",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL SETUSER app resetpass >two", "ACL DELUSER app", "ACL SETUSER app on >two ~* &* +@all"},
		fresh:  [][]string{loginBy("AUTH app two")},
		old:    map[string][]string{"AUTH app one\r\nGET k": {"GET k"}},
	}, {
		name:   "a user is reset",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL SETUSER app reset"},
		fresh:  [][]string{{"AUTH app one"}},
		old:    map[string][]string{"AUTH app one\r\nGET k": {"GET k", "SET k v"}},
	}, {
		name:   "a user with no password gets one",
		before: []string{"ACL SETUSER app on nopass ~* &* +@all"},
		change: []string{"ACL SETUSER app resetpass >two"},
		fresh:  [][]string{loginBy("AUTH app two"), {"AUTH app three", "GET k"}},
		old:    map[string][]string{"AUTH app x\r\nGET k": asIs, "AUTH app y\r\nGET k": asIs},
	}, {
		name:   "rights are taken away",
		before: []string{"ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL SETUSER app -set"},
		fresh:  [][]string{loginBy("AUTH app one")},
		old:    map[string][]string{"AUTH app one": wants},
	}, {
		name: "users are loaded, one with another password", file: true,
		before: []string{"ACL SETUSER app on >two ~* &* +@all", "ACL SAVE", "ACL SETUSER app resetpass >one"},
		change: []string{"ACL LOAD"},
		fresh:  [][]string{loginBy("AUTH app two"), {"AUTH app one", "GET k"}},
		old:    map[string][]string{"AUTH app one": {"GET k"}, "GET k": wants},
	}, {
		name: "users are loaded, one is no longer there", file: true,
		before: []string{"ACL SAVE", "ACL SETUSER app on >one ~* &* +@all"},
		change: []string{"ACL LOAD"},
		fresh:  [][]string{{"AUTH app one", "GET k"}, wants},
		old:    map[string][]string{"AUTH app one": {"GET k"}},
	}, {
		name: "users are loaded, and default has a password", file: true,
		before: []string{"ACL SETUSER default >new", "AUTH new", "ACL SAVE", "ACL SETUSER default nopass"},
		change: []string{"ACL LOAD"},
		fresh:  [][]string{wants, loginBy("AUTH new"), {"AUTH other", "GET k"}},
		old:    map[string][]string{"GET k": {"GET k", "SET k v"}, "": {"GET k"}},
	},
}

// Clients see what they would see directly, whatever is changed about logins while they are there.
func TestLoginChanges(t *testing.T) {
	kinds := []string{"valkey", "redis"}
	if !testing.Short() {
		kinds = append(kinds, "redis7", "valkey9")
	}
	for i, row := range loginChanges {
		for k, kind := range kinds {
			if k >= 2 && i%3 != 0 {
				continue // versions differ in little
			}
			t.Run(kind+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				spec := proxytest.Spec{Kind: kind}
				if row.file {
					file := filepath.Join(t.TempDir(), "users.acl")
					if err := os.WriteFile(file, nil, 0o644); err != nil {
						t.Fatal(err)
					}
					spec.Args = []string{"--aclfile", file}
				}
				playLoginChange(t, spec.Start(t), row)
			})
		}
	}
}

func playLoginChange(t *testing.T, srv *proxytest.Server, row loginChange) {
	admin := dial(t, srv.Addr)
	apply := func(requests []string) {
		for _, r := range requests {
			if got := admin.do(r); got != "+OK\r\n" && got != ":1\r\n" {
				t.Fatalf("%s: %q", r, got)
			}
		}
	}
	addr := serve(t, srv.Addr, asControl(srv))
	apply([]string{"SET k v", "COPY k k DB 1", "COPY k k DB 2"})
	apply(row.before)
	type pair struct {
		direct, through *conn
		then            []string
		name            string
	}
	connect := func(name string, then []string) pair {
		return pair{dial(t, srv.Addr), dial(t, addr), then, name}
	}
	var pairs []pair
	for login, then := range row.old {
		p := connect("before: "+login, then)
		for _, line := range strings.Split(login, "\r\n") {
			if line == "" {
				continue
			}
			if d, th := p.direct.speak(line), p.through.speak(line); d != th {
				t.Fatalf("before the change: directly %s, through the proxy %s", d, th)
			}
		}
		pairs = append(pairs, p)
	}
	settled(t, addr)
	direct := 0
	for _, p := range pairs {
		if strings.Contains(p.name, "AUTH app") {
			direct++
		}
	}
	// A login has a link: the server would not take a changed password for one that begins later.
	proxytest.Poll(t, "a link of the user", func() bool {
		list := fmt.Sprint(srv.MustDo("CLIENT", "LIST"))
		return direct == 0 || strings.Count(list, "user=app ") > direct
	})
	apply(row.change)
	for _, then := range row.fresh {
		p := connect("behind", then)
		compareSpeech(t, p.name, p.direct, p.through, then)
	}
	for _, p := range pairs {
		compareSpeech(t, p.name, p.direct, p.through, p.then)
	}
}

// settled returns when the proxy has dealt with the clients that connected before and said nothing.
func settled(t *testing.T, addr string) {
	t.Helper()
	c := dial(t, addr)
	c.do("PING")
	c.Close()
}

// compareSpeech has both say the same. What the server closes may have to be noticed first.
func compareSpeech(t *testing.T, name string, direct, through *conn, lines []string) {
	t.Helper()
	want := direct.speak(lines...)
	if strings.HasPrefix(want, "the end") {
		through.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
		if rest, err := io.ReadAll(through.r); len(rest) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: got %q (%v), want the end of the connection", name, rest, err)
		}
		return
	}
	if got := through.speak(lines...); got != want {
		t.Errorf("%s:\nthrough the proxy:\n%s\ndirectly:\n%s", name, got, want)
	}
}

// A login that fails is refused, however many fail at once: servers drop the error of one behind
// another's reply.
func TestFailedLoginsAtOnce(t *testing.T) {
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			addr := serve(t, srv.Addr, asControl(srv))
			srv.MustDo("CONFIG", "SET", "requirepass", "right")
			var all sync.WaitGroup
			for i := range 40 {
				c := dial(t, addr)
				all.Go(func() {
					login := []string{"AUTH wrong", "AUTH default wrong", "HELLO 3 AUTH default wrong"}[i%3]
					for range 20 {
						c.send(login + "\r\nGET k\r\n")
						for _, want := range []string{"-WRONGPASS", "-NOAUTH"} {
							if got := c.reply(); !strings.HasPrefix(got, want) {
								t.Errorf("%s: got %q, want %s", login, got, want)
								return
							}
						}
					}
					if got := c.do("AUTH right"); got != "+OK\r\n" {
						t.Errorf("the right password: %q", got)
					}
				})
			}
			all.Wait()
		})
	}
}

// A connection that opened while a login was required needs one for HELLO even when no command does.
func TestHelloOfAnOldStranger(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, asControl(srv))
	operator := dial(t, srv.Addr)
	operator.do("AUTH control control")
	operator.do("ACL SETUSER default resetpass >pw")
	direct, through := dial(t, srv.Addr), dial(t, addr)
	for _, line := range []string{"GET k", "nopass", "GET k", "HELLO 2", "HELLO 9", "GET k", "HELLO 2 AUTH default x",
		"HELLO 2"} {
		if line == "nopass" {
			operator.do("ACL SETUSER default nopass")
			continue
		}
		want, got := direct.do(line), through.do(line)
		if strings.HasPrefix(want, "*") {
			want, got = want[:4], got[:4]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A user who is deleted takes the clients along, however often that happens, and whatever became of the
// links meanwhile.
func TestUserIsDeletedAgain(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr, asControl(srv))
		admin := dial(t, srv.Addr)
		for range 3 {
			admin.do("ACL SETUSER app on >one ~* &* +@all")
			c := dial(t, addr)
			if got := c.do("AUTH app one"); got != "+OK\r\n" {
				t.Fatalf("AUTH: %q", got)
			}
			admin.do("ACL DELUSER app")
			c.expectEOF()
		}
		admin.do("ACL SETUSER app on >one ~* &* +@all")
		c := dial(t, addr)
		c.do("AUTH app one")
		for range 2 {
			linked := func() bool { return strings.Contains(admin.do("CLIENT LIST"), "user=app") }
			proxytest.Poll(t, "a link of the user", linked)
			admin.do("CLIENT KILL USER app")
			proxytest.Poll(t, "another link of the user", linked)
		}
		admin.do("ACL DELUSER app")
		c.expectEOF()
	})
}
