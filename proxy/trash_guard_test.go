package proxy_test

import (
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The guard takes from the links of anonymous clients what the rules refuse; what goes to the trash
// goes there all the same.
func TestTrashBesideTheGuard(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr, p := serveServer(t, srv.Addr, withKeyTrash, func(o *proxy.Options) { o.Guard = true })
		proxytest.Poll(t, "the guard stands", func() bool {
			return strings.Contains(dial(t, addr).do("EVAL \"return redis.call('FLUSHALL')\" 0"), "-")
		})
		c := dial(t, addr)
		for _, step := range [][2]string{
			{"MSET a 1 b 2 c 3", "+OK\r\n"}, {"DEL a", ":1\r\n"}, {"EXPIRE b 100", ":1\r\n"},
			{"COPY b d", ":1\r\n"}, {"RENAME b c", "+OK\r\n"}, {"GETDEL c", "$1\r\n2\r\n"},
			{"FLUSHALL", "+OK\r\n"}, {"DBSIZE", ":0\r\n"}, {"SET k v", "+OK\r\n"},
			{"MULTI", "+OK\r\n"}, {"DEL k", "+QUEUED\r\n"}, {"EXEC", "*1\r\n:1\r\n"},
			{"SET k v", "+OK\r\n"}, {"MULTI", "+OK\r\n"}, {"FLUSHALL", "+QUEUED\r\n"},
			{"EXEC", "*1\r\n+OK\r\n"}, {"DBSIZE", ":0\r\n"},
		} {
			if got := c.do(step[0]); got != step[1] {
				t.Errorf("%s: got %q, want %q", step[0], got, step[1])
			}
		}
		if list := theTrash(t, p); len(list) != 6 {
			t.Errorf("the trash has %+v", list)
		}
	})
}
