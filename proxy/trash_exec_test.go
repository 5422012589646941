package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// auditTrash is what the audit log says of the trash: "command id" of each line.
func auditTrash(t *testing.T, file string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct{ Verdict, Command, Trash string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if e.Verdict == "trashed" {
			out = append(out, strings.TrimSpace(e.Command+" "+e.Trash))
		}
	}
	return out
}

// What a transaction moves to the trash is in the audit log with its id, once it has happened.
func TestAuditOfTrashInMulti(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, server *proxytest.Server) {
		file := filepath.Join(t.TempDir(), "audit.log")
		addr := serve(t, server.Addr, withAudit(file),
			withRules(policy.RuleSpec{Name: "t", Action: "trash", Commands: []string{"del", "flushall"}}))
		c := dial(t, addr)
		run := func(lines string) {
			for line := range strings.SplitSeq(lines, " / ") {
				c.do(line)
			}
		}
		run("MSET a 1 b 2 c 3 / DEL a / MULTI / DEL b / DEL none / DISCARD")
		run("WATCH x / MULTI / DEL b / SET k v")
		server.MustDo("SET", "x", "1") // EXEC is null
		run("EXEC / MULTI / NOSUCH / DEL b / EXEC")
		run("MULTI / DEL b / DEL none / FLUSHALL / EXEC / SET z 1 / MULTI / DEL z / EXEC")
		var got []string
		want := []string{"del a 1", "del b 2", "del none", "flushall 3", "del z 4"}
		proxytest.Poll(t, "the lines", func() bool {
			got = auditTrash(t, file)
			return len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		keys, _ := server.MustDo("EVAL", "redis.call('SELECT', 15) return redis.call('KEYS', '*mark*')",
			"0").([]any)
		if len(keys) != 0 {
			t.Errorf("marks are left: %v", keys)
		}
	})
}

// SHOW TRASH has as many entries of single keys as are asked for, the newest ones, and says how
// many there are.
func TestTrashIsListedInPages(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	addr, srv := serveServer(t, server.Addr,
		withRules(policy.RuleSpec{Name: "t", Action: "trash", Commands: []string{"del", "flushall"}}))
	c := dial(t, addr)
	c.do("SET k v")
	c.do("FLUSHALL")
	const n = 450 // more than two pages
	for i := range n {
		c.send(fmt.Sprintf("SET k%d v\r\nDEL k%d\r\n", i, i))
	}
	for range 2 * n {
		c.reply()
	}
	for limit, want := range map[int]int{0: n, 1: 1, 100: 100, 200: 200, 250: 250, n: n, 1000: n} {
		trash, err := srv.Trash(context.Background(), limit)
		if err != nil || trash.Total != n+1 || len(trash.Entries) != want+1 {
			t.Fatalf("LIMIT %d: got %+v, %v, want %d of %d", limit, trash, err, want+1, n+1)
		}
		list := trash.Entries
		if list[0].Command != "FLUSHALL" {
			t.Errorf("LIMIT %d: got %+v first", limit, list[0])
		}
		seen := map[uint64]bool{}
		for i, e := range list {
			seen[e.ID] = true
			if i > 1 && e.Until.Before(list[i-1].Until) {
				t.Errorf("LIMIT %d: %d is behind %d", limit, e.ID, list[i-1].ID)
			}
		}
		if len(seen) != len(list) {
			t.Errorf("LIMIT %d: %d entries, %d ids", limit, len(list), len(seen))
		}
	}
}

// Who did what on the console stands in the audit log.
func TestAuditOfTheConsole(t *testing.T) {
	t.Parallel()
	server := proxytest.StartServer(t)
	file := filepath.Join(t.TempDir(), "audit.log")
	_, srv := serveServer(t, server.Addr, withAudit(file))
	srv.Audit(admin.Action{Operator: "10.0.0.1:5", Name: "undo", Command: "UNDO 4", Result: "OK"})
	if p, err := srv.Approve(context.Background(), "abcd-2345", "10.0.0.1:5"); p != nil || err != nil {
		t.Fatal(p, err)
	}
	var text string
	proxytest.Poll(t, "both lines", func() bool {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
		return strings.Count(text, "\n") == 2
	})
	for _, want := range []string{
		`"verdict":"undo","command":"UNDO 4",`, `"operator":"10.0.0.1:5","result":"OK"}`,
		`"verdict":"approve",`, `"token":"abcd-2345","operator":"10.0.0.1:5",` +
			`"result":"nothing waits under this token"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}
