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
	var cs []*conn
	for i := range 6 {
		c := dial(t, addr)
		for k := range 10 {
			last := "return 1"
			if k == 9 {
				last = "return redis.call('flushall')"
			}
			c.send(proxytest.Command("EVAL", source(10*i+k, last), "1", "none"))
		}
		cs = append(cs, c)
	}
	b.goOn("while scripts are read", 500)
	for _, c := range cs {
		for k := range 10 {
			got := c.reply()
			if k < 9 && got != ":1\r\n" || k == 9 && !strings.HasPrefix(got, "-DENIED ") {
				t.Errorf("script %d got %q", k, got)
			}
		}
	}
	if got := srv.MustDo("EXISTS", "calm"); got != int64(1) {
		t.Error("a script that flushes was carried out")
	}
}
