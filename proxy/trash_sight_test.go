package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Code that only reads cannot read the trash, in any state of the session.
func TestTheTrashCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, guard := range []bool{true, false} {
		t.Run(fmt.Sprint("guard=", guard), func(t *testing.T) {
			proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
				addr := serve(t, srv.Addr, func(o *proxy.Options) {
					o.Guard, o.Rules = guard, parseRules(t, "trash flushall")
				})
				const code = "redis.call(ARGV[1], ARGV[2]) return redis.call('get', 'secret')"
				srv.MustDo("FUNCTION", "LOAD", "REPLACE", "#!lua name=l\nredis.register_function{"+
					"function_name='f', flags={'no-writes'}, callback=function(KEYS, ARGV) "+code+" end}")
				sha := srv.MustDo("SCRIPT", "LOAD", code).(string)
				c := dial(t, addr)
				c.do("SET secret TREASURE")
				c.do("FLUSHALL")
				for _, before := range []string{"", "MULTI", "WATCH k", "HELLO 3|CLIENT TRACKING ON",
					"HELLO 3|CLIENT TRACKING ON|MULTI", "WATCH k|MULTI", "HELLO 3|SUBSCRIBE x"} {
					for _, run := range [][]string{{"EVAL_RO", code}, {"EVAL", code}, {"FCALL_RO", "f"},
						{"FCALL", "f"}, {"EVALSHA_RO", sha}, {"EVALSHA", sha}} {
						for slot := 8; slot < 16; slot += 7 {
							c := dial(t, addr)
							all := ""
							for _, line := range strings.Split(before, "|") {
								if line != "" {
									all += c.do(line)
								}
							}
							c.send(proxytest.Command(append(run, "0", "select", fmt.Sprint(slot))...))
							all += c.reply()
							if strings.HasSuffix(before, "MULTI") {
								all += c.do("EXEC")
							}
							if strings.Contains(all, "TREASURE") {
								t.Errorf("%s, %s: %q", before, run[0], all)
							}
							c.Close()
						}
					}
				}
			})
		})
	}
}

// No section of INFO shows the databases of the trash.
func TestInfoHidesTheTrash(t *testing.T) {
	t.Parallel()
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: bin.Kind}.Start(t)
			addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Rules = parseRules(t, "trash flushall") })
			c := dial(t, addr)
			c.send("SELECT 1\r\nSET a b\r\nSADD s 1 x\r\nHSET h f v\r\nFLUSHALL\r\nSET k v\r\n")
			for range 6 {
				c.reply()
			}
			for _, section := range []string{"", "all", "everything", "keyspace", "keysizes", "default"} {
				for _, line := range strings.Split(c.do("INFO "+section), "\r\n") {
					var db int
					if n, _ := fmt.Sscanf(line, "db%d", &db); n == 1 && db > 1 {
						t.Errorf("INFO %s: %s", section, line)
					}
				}
			}
		})
	}
}

// A client that tracks every key does not hear of those of the trash.
func TestTrackingHidesTheTrash(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Rules = parseRules(t, "trash flushall del") })
		c, r2 := dial(t, addr), dial(t, addr)
		for _, proto := range []string{"3", "2"} {
			hears := dial(t, addr)
			switch proto {
			case "3":
				hears.do("HELLO 3")
				if got := hears.do("CLIENT TRACKING ON BCAST"); got != "+OK\r\n" {
					t.Fatal(got)
				}
			default:
				id := strings.Trim(hears.do("CLIENT ID"), ":\r\n")
				hears.do("SUBSCRIBE __redis__:invalidate")
				if got := r2.do("CLIENT TRACKING ON BCAST REDIRECT " + id); got != "+OK\r\n" {
					t.Fatal(got)
				}
			}
			c.do("SET a 1")
			c.do("DEL a")
			c.do("SET last 1")
			for text := ""; !strings.Contains(text, "last"); {
				text = hears.reply()
				if strings.Contains(text, "holdfast:") {
					t.Errorf("RESP%s: %q", proto, text)
				}
			}
			hears.Close()
		}
	})
}
