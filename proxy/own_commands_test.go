package proxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/resp"
)

// busyProxy has everything for which the proxy sends commands of its own: rules, the guard, a
// journal and durable routes.
func busyProxy(t *testing.T, srv *proxytest.Server) string {
	addr, p := serveServer(t, srv.Addr, withJournal(t.TempDir()), func(o *proxy.Options) {
		o.Rules = []policy.RuleSpec{{Name: "all", Action: "allow", Commands: []string{"*"}}}
		o.Guard = true
		o.Routes = []policy.RouteSpec{{Name: "r", Keys: []string{"durable:*"},
			Demand: policy.Demand{Journal: true}}}
	})
	recorded(t, p, srv)
	return addr
}

var clientLines = []string{
	"CLIENT SETNAME n", "SET k 1", "SET durable:k 1", "SELECT 1", "GET k", "SELECT 0", "CLIENT ID",
	"CLIENT LIST", "CLIENT KILL ID 999", "INFO clients", "BLPOP nothing 0.01", "EVAL return(1) 0",
	`FUNCTION LOAD "#!lua name=l\nredis.register_function('f', function() return 1 end)"`, "FCALL f 0",
	"HELLO 2", "MULTI", "GET k", "CLIENT LIST", "EXEC", "gEt k", "kEyS x", "WAIT 0 1",
}

var monitorLine = regexp.MustCompile(`\] "(\w+)"`)

// TestMonitorShowsClientsOnly: MONITOR shows what clients sent, and nothing that the proxy sends.
func TestMonitorShowsClientsOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"valkey9", "redis"} {
		t.Run(kind, func(t *testing.T) {
			srv := proxytest.Spec{Kind: kind, Args: journalArgs}.Start(t)
			addr := busyProxy(t, srv)
			m, c := dial(t, addr), dial(t, addr)
			m.do("MONITOR")
			for _, line := range clientLines {
				c.do(line)
			}
			proxytest.Poll(t, "the proxy reads the functions", func() bool {
				return commandStats(srv, "function|list") != ""
			})
			c.do("ECHO end")
			var got []string
			for line := ""; !strings.Contains(line, `"end"`); {
				line = m.reply()
				word := monitorLine.FindStringSubmatch(line)
				if strings.Contains(line, " lua] ") {
					continue
				}
				if word == nil || strings.ToUpper(word[1]) != word[1] && word[1] != "get" && word[1] != "keys" {
					t.Errorf("MONITOR shows %q", line)
				}
				got = append(got, line)
			}
			if all := fmt.Sprint(got); !strings.Contains(all, `"get" "k"`) || !strings.Contains(all, `"keys"`) {
				t.Errorf("a client's commands are missing: %s", all)
			}
		})
	}
}

// TestCommandLogsShowClientsOnly: SLOWLOG and COMMANDLOG have what clients sent, as many entries as
// they ask for.
func TestCommandLogsShowClientsOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"valkey9", "valkey", "redis7"} {
		t.Run(kind, func(t *testing.T) {
			srv := proxytest.Spec{Kind: kind, Args: journalArgs}.Start(t)
			addr := busyProxy(t, srv)
			c := dial(t, addr)
			c.do("CONFIG SET slowlog-log-slower-than 0")
			for _, line := range clientLines {
				c.do(line)
			}
			logs := [][3]string{{"SLOWLOG GET -1", "SLOWLOG GET 3", "SLOWLOG LEN"}}
			if kind == "valkey9" {
				logs = append(logs, [3]string{"COMMANDLOG GET -1 slow", "COMMANDLOG GET 3 slow",
					"COMMANDLOG LEN slow"})
			}
			for _, l := range logs {
				length := c.do(l[2])
				entries := parsed(t, c.do(l[0])).Elems
				if want := fmt.Sprintf(":%d\r\n", len(entries)-1); length != want {
					t.Errorf("%s: %q, want %q", l[2], length, want)
				}
				for _, e := range entries {
					if w := string(e.Elems[3].Elems[0].Str); resp.Spelled([]byte(w)) || w == "info" {
						t.Errorf("%s has %q", l[0], w)
					}
				}
				if n := len(parsed(t, c.do(l[1])).Elems); n != 3 {
					t.Errorf("%s: %d entries", l[1], n)
				}
			}
			if n := len(parsed(t, c.do("SLOWLOG GET")).Elems); n != 10 {
				t.Errorf("SLOWLOG GET: %d entries", n)
			}
			for _, bad := range []string{"SLOWLOG GET x", "SLOWLOG GET -2", "SLOWLOG GET 1 2"} {
				if got, want := c.do(bad), dial(t, srv.Addr).do(bad); got != want {
					t.Errorf("%s: %q, directly %q", bad, got, want)
				}
			}
			if r := c.exec("SLOWLOG GET -1"); len(r[0].Elems) < 10 ||
				slices.ContainsFunc(r[0].Elems, func(e resp.Value) bool {
					return resp.Spelled(e.Elems[3].Elems[0].Str)
				}) {
				t.Errorf("in a transaction: %v", r)
			}
			for _, l := range logs {
				// Between the two, LEN itself has come.
				if r := c.exec(l[2], l[0]); r[0].Int != int64(len(r[1].Elems))-1 {
					t.Errorf("%s in a transaction: %d, of %d entries", l[2], r[0].Int, len(r[1].Elems))
				}
			}
		})
	}
}

func parsed(t *testing.T, reply string) resp.Value {
	t.Helper()
	v, _, err := resp.Parse([]byte(reply))
	if err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	return v
}

// TestNoLinesInACLLog: the proxy's own commands leave no lines in ACL LOG, whatever the client's user
// may not do.
func TestNoLinesInACLLog(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">b", "~*", "-@all", "+get", "+set", "+blpop", "+multi",
		"+exec", "+eval", "+subscribe", "&*")
	addr := serve(t, srv.Addr)
	for _, hello := range []string{"AUTH bob b", "HELLO 3 AUTH bob b SETNAME mine"} {
		c := dial(t, addr)
		for _, line := range []string{hello, "SET k 1", "GET k", "BLPOP nothing 0.01", "MULTI", "GET k", "EXEC",
			"EVAL return(1) 0", "SUBSCRIBE ch"} {
			if got := c.do(line); got[0] == '-' {
				t.Errorf("%s: %q", line, got)
			}
		}
	}
	if log := fmt.Sprint(srv.MustDo("ACL", "LOG")); log != "[]" {
		t.Errorf("ACL LOG: %s", log)
	}
}

// TestOwnSpelling: every command of the proxy's own is spelled so that it can be told from those of
// clients.
func TestOwnSpelling(t *testing.T) {
	literal := regexp.MustCompile(`"([a-z][A-Z][A-Za-z.]*)"`)
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range literal.FindAllSubmatch(text, -1) {
			if !resp.Spelled(m[1]) {
				t.Errorf("%s: %q is spelled %q", f, m[1], resp.Spell(string(m[1])))
			}
		}
	}
}
