package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/audit"
	"holdfast/proxy/proxytest"
)

// auditLine is what users read of a line.
type auditLine struct {
	Time                                           time.Time
	Verdict, Rule, Command, User, Client, Listener string
	Name, Token, Operator                          string
	DB, Count                                      int
}

// auditLines reads the lines that the file has by now.
func auditLines(t *testing.T, file string) (out []auditLine) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l auditLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, l)
	}
	return out
}

func withAudit(file string) func(*proxy.Options) {
	return func(o *proxy.Options) { o.Audit = audit.Options{File: file} }
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	server.MustDo("ACL", "SETUSER", "bob", "on", ">s3cret", "~*", "+@all")
	file := filepath.Join(t.TempDir(), "audit.log")
	watched := policy.RuleSpec{Name: "watched", Commands: []string{"set"}, Action: "deny",
		Enforcement: "observe"}
	limited := policy.RuleSpec{Name: "limited", Commands: []string{"incr"}, Action: "allow",
		Limit: &policy.LimitSpec{Rate: "1/h", Burst: 1}}
	addr, srv := serveServer(t, server.Addr, withAudit(file), withRules(watched, limited,
		rule("deny", "config|set", "acl"), rule("confirm", "flushall"), rule("rewrite", "del")))
	c := dial(t, addr)
	for _, line := range []string{"AUTH bob s3cret", "CLIENT SETNAME web", "SELECT 3", "GET a",
		"SET a value", "DEL a", "CONFIG SET requirepass s3cret maxmemory 1gb", "INCR n", "INCR n",
		"ACL SETUSER eve >s3cret"} {
		c.do(line)
	}
	token := c.held("FLUSHALL\r\n")
	approve(t, srv, token)
	c.do("FLUSHALL")
	var got []auditLine
	proxytest.Poll(t, "the lines", func() bool { got = auditLines(t, file); return len(got) >= 8 })
	want := []auditLine{
		{Verdict: "observed", Rule: "watched", Command: "set a …"},
		{Verdict: "rewritten", Rule: "rewrite", Command: "del a"},
		{Verdict: "denied", Rule: "deny", Command: "config set requirepass … maxmemory 1gb"},
		{Verdict: "throttled", Rule: "limited", Command: "incr n"},
		{Verdict: "denied", Rule: "deny", Command: "acl setuser eve …"},
		{Verdict: "held", Rule: "confirm", Command: "flushall", Token: token},
		{Verdict: "approve", Rule: "confirm", Command: "flushall", Token: token, Operator: "test"},
		{Verdict: "approved", Rule: "confirm", Command: "flushall", Token: token},
	}
	for i, w := range want {
		g := got[i]
		if time.Since(g.Time) > time.Minute || g.Client != c.LocalAddr().String() {
			t.Errorf("time or client: %+v", g)
		}
		if w.Operator == "" && g.Listener == "" {
			t.Errorf("no listener: %+v", g)
		}
		w.User, w.Name, w.DB = "bob", "web", 3
		w.Time, w.Client, w.Listener = g.Time, g.Client, g.Listener
		if g != w {
			t.Errorf("line %d: %+v, want %+v", i, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d: %+v", len(got), len(want), got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// The file is rotated and as many are kept as are asked for; no line is lost or cut in between.
func TestAuditRotates(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	file := filepath.Join(t.TempDir(), "audit.log")
	addr := serve(t, server.Addr, withRules(rule("deny", "flushall")), func(o *proxy.Options) {
		o.Audit = audit.Options{File: file, MaxSize: 20_000, Keep: 3}
	})
	c := dial(t, addr)
	const n = 400 // of some 170 bytes: four files
	c.send(strings.Repeat("FLUSHALL\r\n", n))
	for range n {
		c.reply()
	}
	total := func() (lines int) {
		for _, name := range []string{file, file + ".1", file + ".2", file + ".3"} {
			if info, err := os.Stat(name); err == nil {
				if info.Size() > 20_000 {
					t.Errorf("%s has %d bytes", name, info.Size())
				}
				lines += len(auditLines(t, name))
			}
		}
		return lines
	}
	proxytest.Poll(t, "all lines", func() bool { return total() == n })
	c.send(strings.Repeat("FLUSHALL\r\n", n))
	for range n {
		c.reply()
	}
	proxytest.Poll(t, "the last line", func() bool { return len(auditLines(t, file+".3")) > 0 })
	if _, err := os.Stat(file + ".4"); !os.IsNotExist(err) {
		t.Errorf("a file too many: %v", err)
	}
}

// A disk that takes nothing costs lines, which are counted, and no client anything.
func TestAuditWithoutDisk(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	full := "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("this test needs %s: %v", full, err)
	}
	addr, srv := serveServer(t, server.Addr, withRules(rule("deny", "flushall")), withAudit(full))
	c := dial(t, addr)
	for range 3 {
		if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED") {
			t.Errorf("got %q", got)
		}
	}
	flood := strings.Repeat("FLUSHALL\r\n", 20_000)
	go c.send(flood)
	for range 20_000 {
		c.reply()
	}
	proxytest.Poll(t, "each line is counted", func() bool {
		snap, err := srv.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := snap.Audit
		return a.Written+a.Dropped+a.Failed == 20_003 && a.Failed > 0
	})
}

// A reload opens the file anew, as those who rotate by themselves expect; one that cannot be opened
// refuses the reload.
func TestAuditReload(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.log")
	var next proxy.Options
	addr, srv := serveServer(t, server.Addr, withRules(rule("deny", "flushall")), withAudit(file),
		func(o *proxy.Options) {
			o.LoadOptions = func() (proxy.Options, error) { return next, nil }
			next = *o
		})
	c := dial(t, addr)
	c.do("FLUSHALL")
	proxytest.Poll(t, "the first line", func() bool { return len(auditLines(t, file)) == 1 })
	if err := os.Rename(file, file+".moved"); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.do("FLUSHALL")
	proxytest.Poll(t, "the second line", func() bool { return len(auditLines(t, file)) == 1 })
	next.Audit.File = filepath.Join(dir, "none", "audit.log")
	if _, err := srv.Reload(context.Background()); err == nil {
		t.Error("a file that cannot be opened was accepted")
	}
	next.Audit.File = ""
	if _, err := srv.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := c.do("FLUSHALL"); !strings.HasPrefix(got, "-DENIED") {
		t.Error(got)
	}
	if n := len(auditLines(t, file)); n != 1 {
		t.Error(fmt.Sprint(n, " lines after it was switched off"))
	}
}
