package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// Large scripts that the proxy has to read hold up only their own clients, and are judged.
func TestLargeScripts(t *testing.T) {
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "calm", "v")
	addr := serve(t, srv.Addr, denyFlush)
	b := startBystanders(t, addr, 4)
	b.goOn("before", 500)
	source := func(n int, last string) string {
		line := "local a = redis.call('get', KEYS[1]) if a then return a end\n"
		return fmt.Sprintf("-- %d\n", n) + strings.Repeat("do "+line[:len(line)-1]+" end\n", 3000) + last
	}
	const each = 3 // the proxy reads one of a client's at a time
	var cs []*conn
	for i := range 6 {
		c := dial(t, addr)
		for k := range each {
			last := "return 1"
			if k == each-1 {
				last = "return redis.call('flushall')"
			}
			c.send(proxytest.Command("EVAL", source(each*i+k, last), "1", "none"))
		}
		cs = append(cs, c)
	}
	b.goOn("while scripts are read", 500)
	for _, c := range cs {
		for k := range each {
			got := c.reply()
			if k < each-1 && got != ":1\r\n" || k == each-1 && !strings.HasPrefix(got, "-DENIED ") {
				t.Errorf("script %d got %q", k, got)
			}
		}
	}
	if got := srv.MustDo("EXISTS", "calm"); got != int64(1) {
		t.Error("a script that flushes was carried out")
	}
}
