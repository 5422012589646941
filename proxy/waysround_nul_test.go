package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// The server compares the words of a command as C strings: a NUL byte ends them. What it takes for
// an option, the proxy must take for one, too.
func TestWaysByWordsWithANULByte(t *testing.T) {
	t.Parallel()
	w := ways{rules: sampleRules, rows: []way{
		{sends: "COPY|loose|keep|REPLACE\x00", want: []string{":1"}},
		{sends: "COPY|loose|keep|replace\x00xyz", want: []string{":1"}},
		{sends: "COPY|loose|keep|DB\x00|1|REPLACE\x00", want: []string{":1"}},
		{sends: "SELECT|1\nCOPY|keep|keep|DB\x00|0|REPLACE", want: []string{"+OK", ":1"}},
		{sends: "RESTORE|keep|0|\x00\x01x\x0b\x00\x77\x3b|REPLACE\x00"},
		{sends: "EXPIRE|keep|-1|XX\x00", want: []string{":1"}},
		{sends: "EXPIRE|keep2|-1|XX\x00", want: []string{":0"}},
		{sends: "EXPIRE|keep|-1|NX\x00", want: []string{":0"}},
		{sends: "EXPIRE|keep|-1|GT\x00", want: []string{":0"}},
		{sends: "EXPIRE|keep|-1|LT\x00", want: []string{":1"}},
		{sends: "GETEX|keep|EXAT\x00|1000"},
		{sends: "GETEX|keep|PXAT\x00x|1000"},
		{sends: "SET|keep|x|EXAT\x00|1000"},
		{sends: "SET|keep|x|PXAT\x00x|1000"},
		{sends: "SET|keep|x|GET\x00|PXAT|1000"},
		{sends: "MULTI\nCOPY|loose|keep|REPLACE\x00\nEXEC"},
		{sends: "MULTI\nGETEX|keep|PXAT\x00|1\nEXEC"},
		{sends: "FLUSHALL|ASYNC\x00"}, {sends: "FLUSHDB|SYNC\x00x"},
		{sends: "MULTI\nFLUSHALL|ASYNC\x00\nEXEC"},
		{sends: "FLUSHALL\nSET|x|1\nCOPY|x|holdfast:trash|DB\x00|15|REPLACE",
			want: []string{"+OK", "+OK", "-ERR"}},
		{sends: "FLUSHALL\nSET|x|1\nMULTI\nCOPY|x|holdfast:trash|DB\x00|15|REPLACE\nEXEC"},
		{sends: "EVAL|redis.call('copy', 'loose', 'keep', 'REPLACE\\0')|0"},
		{sends: "EVAL|redis.call('getex', 'keep', 'PXAT\\0', 1)|0"},
	}}
	w.run(t)
}

// Where the server finds names by their hash, one that goes on behind a NUL byte is found if it
// happens to be in the same bucket: one in a few hundred is.
func TestWaysByNamesWithANULByte(t *testing.T) {
	t.Parallel()
	w := ways{change: func(o *proxy.Options) { o.Rules = policy.DefaultRules() }}
	for _, line := range []string{
		"CONFIG|SET|maxmemory\x00#|1", "CONFIG|SET|hz|10|maxmemory\x00#|1", "CONFIG|SET\x00#|maxmemory|1",
		"CONFIG\x00#|SET|maxmemory|1", "FLUSHALL\x00#", "DEBUG\x00#|FLUSHALL",
		"FUNCTION|FLUSH\x00#", "CONFIG|SET|save\x00#|",
		"EVAL|redis.call('config', 'set', 'maxmemory\\0#', 1)|0",
	} {
		var b strings.Builder
		for i := range 2000 {
			b.WriteString(frameOf(strings.ReplaceAll(line, "#", fmt.Sprint(i))))
		}
		w.rows = append(w.rows, way{sends: "=" + b.String()})
	}
	w.run(t)
}

// After SYNC, the server's side of a session is a stream. The server keeps replicas from the keys, but
// not from its settings, and where it refuses the stream, from nothing.
func TestWaysAsAReplica(t *testing.T) {
	t.Parallel()
	w := ways{rules: "trash flushall flushdb del", rows: []way{
		{sends: "SYNC\nFLUSHALL"},
		{sends: "PSYNC|?|-1\nFLUSHALL"},
		{sends: "REPLCONF|capa|eof\nPSYNC|?|-1\nSELECT|1\nFLUSHDB"},
		{sends: "SYNC\nREPLCONF|ACK|0\nEVAL|redis.call('flushall')|0"},
		{sends: "=SYNC\r\nFLUSHALL\r\n"},
		{sends: "/SYNC\r\nDEL keep\r\n"},
		{sends: "PSYNC|a|b\nFLUSHALL"},
		{sends: "PSYNC|a|b\nGET|loose\nFLUSHALL"},
		{sends: "SYNC\nCONFIG|SET|maxmemory|1"}, {sends: "SYNC\nSHUTDOWN|NOSAVE"},
	}}
	w.run(t)
}

// Options that decide by which link a command goes.
func TestOptionsWithANULByte(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		srv.MustDo("ACL", "SETUSER", "bob", "on", ">x", "~*", "&*", "+@all")
		addr, _ := serveServer(t, srv.Addr, func(o *proxy.Options) {
			o.Rules = parseRules(t, "deny flushdb users=bob")
		})
		command := proxytest.Command
		c, other := dial(t, addr), dial(t, addr)
		if c.send(command("HELLO", "3", "AUTH\x00", "bob", "x")); !strings.HasPrefix(c.reply(), "%") {
			t.Fatal("HELLO AUTH was refused")
		}
		if c.send(command("FLUSHDB")); !strings.HasPrefix(c.reply(), "-DENIED") {
			t.Error("bob is not known as bob")
		}
		for range 4 {
			if r := other.do("ACL WHOAMI"); r != "$7\r\ndefault\r\n" {
				t.Errorf("another client is %q now", r)
			}
			other.do("CLIENT SETNAME x")
		}
		blocked := dial(t, addr)
		blocked.send(command("XREAD", "BLOCK\x00", "0", "STREAMS", "s", "$"))
		if r := other.do("GET nothing"); r != "$-1\r\n" {
			t.Errorf("beside an XREAD that blocks: %q", r)
		}
		quiet := dial(t, addr)
		quiet.send(command("CLIENT", "REPLY", "OFF\x00") + command("SET", "q", "1") +
			command("CLIENT", "REPLY", "ON\x00x") + command("GET", "q"))
		if got := quiet.reply() + quiet.reply(); got != "+OK\r\n$1\r\n1\r\n" {
			t.Errorf("CLIENT REPLY: %q", got)
		}
	})
}

// A session that is refused the stream goes on as what it was.
func TestARefusedStream(t *testing.T) {
	t.Parallel()
	proxytest.EachServer(t, func(t *testing.T, srv *proxytest.Server) {
		addr, _ := serveServer(t, srv.Addr, func(o *proxy.Options) {
			o.Rules = parseRules(t, "deny flushall")
		})
		c := dial(t, addr)
		for range 2 {
			if r := c.do("PSYNC a b"); !strings.HasPrefix(r, "-ERR") {
				t.Fatalf("PSYNC: %q", r)
			}
			if r := c.do("FLUSHALL"); !strings.HasPrefix(r, "-DENIED") {
				t.Errorf("FLUSHALL: %q", r)
			}
			if r := c.do("SET x 1"); r != "+OK\r\n" {
				t.Errorf("SET: %q", r)
			}
		}
	})
}
