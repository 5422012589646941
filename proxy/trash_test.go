package proxy_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
)

// trashRule is a rule for everything that can go to the trash.
var trashRule = policy.RuleSpec{Name: "flush", Commands: []string{"flushall", "flushdb"},
	Action: "trash", Keep: time.Hour}

func withTrash(o *proxy.Options) { o.Rules = []policy.RuleSpec{trashRule} }

// digest is what a database holds: each key with its value's digest and its deadline.
func digest(t testing.TB, srv *proxytest.Server, db int) map[string]string {
	t.Helper()
	return dial(t, srv.Addr).digest(db)
}

func (c *conn) digest(db int) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	replies := c.doAll(fmt.Sprintf("SELECT %d", db), "KEYS *")
	if replies[0] != "+OK\r\n" {
		c.t.Fatalf("SELECT %d: %q", db, replies[0])
	}
	keys := bulks(replies[1])
	if len(keys) == 0 {
		return out
	}
	var lines []string
	for _, key := range keys {
		lines = append(lines, "DEBUG DIGEST-VALUE "+key, "PEXPIRETIME "+key)
	}
	replies = c.doAll(lines...)
	for i, key := range keys {
		out[key] = replies[2*i] + replies[2*i+1]
	}
	return out
}

// bulks are the bulk strings of an array.
func bulks(reply string) []string {
	var out []string
	lines := strings.Split(reply, "\r\n")
	for i := 1; i+1 < len(lines); i += 2 {
		out = append(out, lines[i+1])
	}
	return out
}

// fill puts values of every type, some with a deadline, into two databases.
func fill(t testing.TB, srv *proxytest.Server) {
	t.Helper()
	lines := []string{
		"SELECT 0", "SET s v", "SET t v EX 1000", "RPUSH l a b c", "SADD set 1 2 3", "HSET h f v g w",
		"ZADD z 1 a 2 b", "XADD x 1-1 f v", "PEXPIRE h 500000", "SELECT 3", "SET other w",
		"SETBIT bits 1000 1",
	}
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("SET key:%d %d EX %d", i, i, 1000+i))
	}
	dial(t, srv.Addr).doWell(lines...)
}

func sameDigest(t testing.TB, srv *proxytest.Server, db int, want map[string]string) {
	t.Helper()
	if got := digest(t, srv, db); !maps.Equal(got, want) {
		t.Errorf("database %d has %d keys, want %d; got %v", db, len(got), len(want), got)
	}
}

func theTrash(t testing.TB, p *proxy.Served) []admin.TrashEntry {
	t.Helper()
	trash, err := p.Trash(context.Background(), 100)
	if err != nil {
		t.Fatal(err)
	}
	return trash.Entries
}

func TestFlushGoesToTheTrash(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"FLUSHALL", "flushall async", "FLUSHALL SYNC", "FLUSHDB",
		"flushdb SYNC"} {
		t.Run(command, func(t *testing.T) {
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				fill(t, srv)
				db0, db3 := digest(t, srv, 0), digest(t, srv, 3)
				addr, p := serveServer(t, srv.Addr, withTrash)
				c := dial(t, addr)
				c.do("SELECT 3")
				c.do("CLIENT SETNAME job")
				if r := c.do(command); r != "+OK\r\n" {
					t.Fatalf("got %q", r)
				}
				all := strings.Contains(strings.ToLower(command), "all")
				sameDigest(t, srv, 3, nil)
				keys, dbs := len(db3), "[3]"
				if all {
					sameDigest(t, srv, 0, nil)
					keys, dbs = len(db0)+len(db3), "[0 3]"
				} else {
					sameDigest(t, srv, 0, db0)
				}
				list := theTrash(t, p)
				if len(list) != 1 || list[0].Keys != int64(keys) || list[0].User != "default" ||
					fmt.Sprint(list[0].Databases) != dbs || list[0].Name != "job" ||
					list[0].Until.Sub(list[0].At) != time.Hour || list[0].Command != command {
					t.Fatalf("the trash has %+v", list)
				}
				u, err := p.Undo(context.Background(), list[0].ID, "")
				if err != nil || u.Keys != int64(keys) || u.Trash != 0 {
					t.Fatalf("UNDO: %+v, %v", u, err)
				}
				sameDigest(t, srv, 0, db0)
				sameDigest(t, srv, 3, db3)
				if list := theTrash(t, p); len(list) != 0 {
					t.Errorf("the trash still has %+v", list)
				}
			})
		})
	}
}

func TestUndoReplaceAndMerge(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		fill(t, srv)
		before := digest(t, srv, 3)
		addr, p := serveServer(t, srv.Addr, withTrash)
		c := dial(t, addr)
		c.do("SELECT 3")
		c.do("FLUSHDB")
		c.do("SET other since")
		c.do("SET new since")
		since := digest(t, srv, 3)
		ctx := context.Background()
		if _, err := p.Undo(ctx, 1, ""); err == nil || !strings.Contains(err.Error(), "written since") {
			t.Errorf("UNDO over keys: %v", err)
		}
		u, err := p.Undo(ctx, 1, "REPLACE")
		if err != nil || u.Keys != int64(len(before)) || u.Trash != 2 {
			t.Fatalf("UNDO REPLACE: %+v, %v", u, err)
		}
		sameDigest(t, srv, 3, before)
		if u, err = p.Undo(ctx, 2, "REPLACE"); err != nil || u.Trash != 3 {
			t.Fatalf("UNDO of the undo: %+v, %v", u, err)
		}
		sameDigest(t, srv, 3, since)
		// Of 202 keys one has been written since: it wins, and its old value stays in the trash.
		u, err = p.Undo(ctx, 3, "MERGE")
		if err != nil || u.Keys != int64(len(before)-1) || u.Left != 1 || u.Trash != 3 {
			t.Fatalf("UNDO MERGE: %+v, %v", u, err)
		}
		want := maps.Clone(before)
		maps.Copy(want, since)
		sameDigest(t, srv, 3, want)
		if err := p.Purge(ctx, 3); err != nil {
			t.Error(err)
		}
		if err := p.Purge(ctx, 3); err == nil || !strings.Contains(err.Error(), "no such entry") {
			t.Errorf("PURGE twice: %v", err)
		}
	})
}
