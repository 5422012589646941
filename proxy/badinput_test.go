package proxy_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Input that is no protocol gets the server's error and the end of its connection; another client
// of the same link notices nothing.
func TestBadInput(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.ClientInput = 64 << 20 })
	other := dial(t, addr)
	const protocol = "-ERR Protocol error: "
	for _, row := range []struct{ send, want string }{
		{"*1048577\r\n", protocol + "invalid multibulk length\r\n"},
		{"*99999999999999999999\r\n", protocol + "invalid multibulk length\r\n"},
		{"*2147483648\r\n", protocol + "invalid multibulk length\r\n"},
		{"*x\r\n", protocol + "invalid multibulk length\r\n"},
		{"*1\r\n$-1\r\n", protocol + "invalid bulk length\r\n"},
		{"*1\r\n$536870913\r\n", protocol + "invalid bulk length\r\n"},
		{"*1\r\n$9223372036854775807\r\nab\r\n", protocol + "invalid bulk length\r\n"},
		{"*1\r\n$\r\n", protocol + "invalid bulk length\r\n"},
		{"*1\r\n*1\r\n", protocol + "expected '$', got '*'\r\n"},
		{"*2\r\n$3\r\nGET\r\nk\r\n", protocol + "expected '$', got 'k'\r\n"},
		{"GET 'unbalanced\r\n", protocol + "unbalanced quotes in request\r\n"},
		{strings.Repeat("x", 70_000), protocol + "too big inline request\r\n"},
		{"*" + strings.Repeat("1", 70_000), protocol + "too big mbulk count string\r\n"},
		{"*1\r\n$" + strings.Repeat("1", 70_000), protocol + "too big bulk count string\r\n"},
	} {
		c := dial(t, addr)
		// The answer may come, and the end, before all of it is sent.
		_, _ = io.WriteString(c, "PING\r\n"+row.send)
		c.expect("+PONG\r\n" + row.want)
		c.Close()
		if got := other.do("ECHO alive"); got != "$5\r\nalive\r\n" {
			t.Fatalf("after %q: got %q", short(row.send), got)
		}
	}
	c := dial(t, addr)
	c.send("$5\r\n+OK\r\n\xff\xfe\r\n:1\r\nPING\r\n")
	for range 4 {
		if got := c.reply(); !strings.HasPrefix(got, "-ERR unknown command") {
			t.Errorf("got %q", got)
		}
	}
	c.expect("+PONG\r\n")
}

// A million empty arguments, a million commands at once, a large value: all pass.
func TestMuchInput(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	c.send(fmt.Sprintf("*%d\r\n$4\r\nSADD\r\n$1\r\ns\r\n", 1<<20) +
		strings.Repeat("$1\r\nx\r\n", 1<<20-2))
	c.expect(":1\r\n")
	const n = 1_000_000
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, strings.Repeat(proxytest.Command("PING"), n))
		done <- err
	}()
	for range n / 1000 {
		c.expect(strings.Repeat("+PONG\r\n", 1000))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A value of some size costs that much and little more, and only while it passes; a length that
// nothing follows costs next to nothing, nor do half frames.
func TestMemoryOfInput(t *testing.T) {
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr)
	c := dial(t, addr)
	c.do("PING")
	before := heap()
	for range 400 {
		half := dial(t, addr)
		sendAndAwait(t, p, half, "*2\r\n$3\r\nGET\r\n$500000000\r\nx")
	}
	if grown := heap() - before; grown > 80<<20 {
		t.Errorf("400 half frames hold %d MB", grown>>20)
	}
	const size = 64 << 20
	c.send(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$%d\r\n", size))
	piece := strings.Repeat("v", 1<<20)
	most := int64(0)
	for range size / len(piece) {
		c.send(piece)
		most = max(most, heap()-before)
	}
	c.send("\r\n")
	c.expect("+OK\r\n")
	if most > 80<<20+3*size {
		t.Errorf("a value of %d MB holds up to %d MB", size>>20, most>>20)
	}
	proxytest.Poll(t, "the value is forgotten", func() bool { return heap()-before < 80<<20 })
	c.send("STRLEN v\r\n")
	c.expect(fmt.Sprintf(":%d\r\n", size))
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
