package keyspace

import (
	"context"
	"errors"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// as connects as a user with some rights.
func as(t *testing.T, srv *proxytest.Server, rights ...any) *Server {
	t.Helper()
	srv.MustDo(append([]any{"ACL", "SETUSER", "u", "reset", "on", ">pw", "~*"}, rights...)...)
	s, err := Open(context.Background(), Endpoint{Address: srv.Addr, Username: "u", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestReadersRights compares with the rights of an ordinary reader, and with less than that.
func TestReadersRights(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		without string
		unknown func(Key) bool
	}{
		{"-dump", nil},
		{"-memory|usage", nil},
		{"-client", nil},
		{"-time", nil},
		{"-watch", func(Key) bool { return true }},
		{"-exec", func(Key) bool { return true }},
		{"-multi", func(Key) bool { return true }},
		{"-type", func(Key) bool { return true }},
		{"-pexpiretime", func(Key) bool { return true }},
		{"-select", func(k Key) bool { return k.DB != 0 }},
		{"resetkeys ~a:*", func(k Key) bool { return !strings.HasPrefix(k.Name, "a:") }},
		{"-dump -hscan", func(k Key) bool { return k.Name == "a:h" }},
		{"-dump -xinfo", func(k Key) bool { return k.Name == "x" }},
	} {
		t.Run(row.without, func(t *testing.T) {
			t.Parallel()
			a, b, o := two(t)
			for _, srv := range []*proxytest.Server{a, b} {
				srv.MustDo("SET", "a:s", 1)
				srv.MustDo("HSET", "a:h", "f", 1)
				srv.MustDo("XADD", "x", "1-1", "f", 1)
				srv.MustDo("COPY", "a:s", "a:s", "DB", 3)
			}
			rights := []any{"+@read", "+@transaction", "+@connection"}
			for _, w := range strings.Fields(row.without) {
				rights = append(rights, w)
			}
			keys := []Key{{0, "a:s"}, {0, "a:h"}, {0, "x"}, {3, "a:s"}, {0, "none"}}
			for _, side := range []string{"source", "target"} {
				o := o
				o.Decide = nil
				if side == "source" {
					o.Source = as(t, a, rights...)
				} else {
					o.Target = as(t, b, rights...)
				}
				for k, r := range outcomes(t, o, keys) {
					want := Same
					if row.unknown != nil && row.unknown(k) {
						want = Unknown
					}
					var no ReplyError
					if r.Relation != want || want == Unknown && (!errors.As(r.Err, &no) || !strings.Contains(string(no), "NOPERM")) {
						t.Errorf("%s, %v: %v, %v, want %v", side, k, r.Relation, r.Err, want)
					}
				}
			}
		})
	}
}

// TestWritersRights writes with less than all rights: by other commands, or not at all.
func TestWritersRights(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 3*SmallBytes)
	for _, row := range []struct {
		without string
		failed  func(name string) bool
	}{
		{"-restore", nil},
		{"-client", nil},
		{"-restore -rpush", func(name string) bool { return name == "l" }},
		{"-unlink", func(name string) bool { return name == "extra" || name == "large" }},
		{"-multi", func(string) bool { return true }},
		{"-rename", func(name string) bool { return name == "large" }},
		{"-setrange", func(name string) bool { return name == "large" }},
		{"resetkeys %R~* ~s ~l ~large* ~extra", func(name string) bool { return name == "h" }},
	} {
		t.Run(row.without, func(t *testing.T) {
			t.Parallel()
			a, b, o := two(t)
			a.MustDo("SET", "s", 1, "EX", 1000)
			a.MustDo("RPUSH", "l", 1, 2)
			a.MustDo("HSET", "h", "f", 1)
			a.MustDo("SET", "large", large)
			b.MustDo("SET", "extra", 1)
			rights := []any{"+@all", "-@admin"}
			for _, w := range strings.Fields(row.without) {
				rights = append(rights, w)
			}
			o.Target = as(t, b, rights...)
			keys := []Key{{0, "s"}, {0, "l"}, {0, "h"}, {0, "large"}, {0, "extra"}}
			for k, r := range outcomes(t, o, keys) {
				failed := row.failed != nil && row.failed(k.Name)
				if failed != (r.Outcome == Failed) || !failed && !r.Verified {
					t.Errorf("%v: %v %v", k, r.Outcome, r.Reason)
				}
				there := b.MustDo("EXISTS", k.Name) == int64(1)
				if there != (failed == (k.Name == "extra")) {
					t.Errorf("%v: there: %v", k, there)
				}
			}
			for _, k := range all(t, open(t, b)) {
				if strings.Contains(k.Name, TempMark) && b.MustDo("PEXPIRETIME", k.Name) == int64(-1) {
					t.Errorf("%v was left for good", k)
				}
			}
		})
	}
}
