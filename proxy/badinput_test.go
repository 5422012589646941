package proxy_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Input that is no protocol gets the server's error and the end of its connection; another client
// of the same link notices nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.ClientInput = 64 << 20 })
	other := dial(t, addr)
	const protocol = "-ERR Protocol error: "
	for _, row := range []struct{ send, want string }{
		{"*2147483649\r\n", protocol + "invalid multibulk length\r\n"},
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

// TestServersDialect: what is not plain RESP is read as the server's version reads it.
func TestServersDialect(t *testing.T) {
	t.Parallel()
	for _, b := range proxytest.Matrix(t) {
		t.Run(b.String(), func(t *testing.T) {
			srv := proxytest.Spec{Kind: b.Kind}.Start(t)
			addr := serve(t, srv.Addr)
			for _, send := range []string{
				"ECHO \"a\"b\r\n", "ECHO 'a\\'\r\n", "ECHO \"a\"\vb\r\n", "ECHO a\xffb\r\n",
				"*1\r\n$4\r\nPINGxy", "*1\rx$4\r\nPING\r\n", "*1\r\n$4\r\rPING\r\n", "*0\r\r", "*\x001\r\n",
			} {
				var got [2]string
				for i, to := range []string{srv.Addr, addr} {
					c := dial(t, to)
					c.send("PING\r\n" + send)
					if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
					all, err := io.ReadAll(c.r)
					if err != nil && !strings.Contains(err.Error(), "reset") {
						t.Fatal(err)
					}
					got[i] = string(all)
				}
				if got[0] != got[1] {
					t.Errorf("%q: directly %q, through the proxy %q", send, got[0], got[1])
				}
			}
		})
	}
}

// HTTP is what a browser can be made to send, with commands in the body. The server ends such a
// connection, and so does the proxy whatever the rules say: also where they refuse every command.
func TestHTTPEndsTheConnection(t *testing.T) {
	srv := proxytest.StartServer(t)
	for name, rules := range map[string][]policy.RuleSpec{
		"no rules": nil, "the default": policy.DefaultRules(),
		"all but some": {{Name: "all", Action: "deny", Commands: []string{"*"},
			Except: []string{"ping", "set", "multi"}}},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Rules = rules })
			for _, head := range []string{"POST / HTTP/1.1\r\n", "post / HTTP/1.1\r\n",
				"Host: 127.0.0.1:6379\r\n", "*1\r\n$5\r\nHOST:\r\n", "*2\r\n$6\r\nPOST\x00x\r\n$1\r\n/\r\n",
				"*1\r\n$5\r\nMULTI\r\nPOST /\r\n"} {
				for _, to := range []string{srv.Addr, addr} {
					c := dial(t, to)
					// The end may come before all of it is sent.
					_, _ = io.WriteString(c, "PING\r\n"+head+"Content-Length: 9\r\n\r\nSET http 1\r\n")
					c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
					rest, err := io.ReadAll(c.r)
					if err != nil && strings.Contains(err.Error(), "timeout") {
						t.Errorf("%q to %s: the connection goes on: %q", head, to, rest)
					}
					if text := strings.ReplaceAll(string(rest), "+OK\r\n", ""); text != "" &&
						text != "+PONG\r\n" {
						t.Errorf("%q to %s: got %q", head, to, rest)
					}
				}
			}
		})
	}
	if got := srv.MustDo("EXISTS", "http"); got != int64(0) {
		t.Error("the body of an HTTP request was carried out")
	}
}

// A million arguments, and many commands at once: all pass.
func TestMuchInput(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	c := dial(t, addr)
	c.send(fmt.Sprintf("*%d\r\n$4\r\nSADD\r\n$1\r\ns\r\n", 1<<20) +
		strings.Repeat("$1\r\nx\r\n", 1<<20-2))
	c.expect(":1\r\n")
	const many = 1<<20 + 1<<10 // servers take more than 1<<20 since 7.0
	c.send(fmt.Sprintf("*%d\r\n$3\r\nDEL\r\n", many+1) + strings.Repeat("$1\r\ns\r\n", many))
	c.expect(":1\r\n")
	c.send(fmt.Sprintf("*%d\r\n$4\r\nMSET\r\n", many+1) + strings.Repeat("$1\r\nm\r\n", many))
	c.expect("+OK\r\n")
	const n = 200_000
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
func TestMemoryOfInput(t *testing.T) { // the process's heap is looked at: not in parallel
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

// Empty arguments without end cost more memory than bytes; client_input bounds that memory.
func TestMemoryOfArguments(t *testing.T) {
	srv := proxytest.StartServer(t)
	const limit = 16 << 20
	addr := serve(t, srv.Addr, func(o *proxy.Options) { o.Limits.ClientInput = limit })
	c := dial(t, addr)
	before := heap()
	c.send("*2147483647\r\n$3\r\nDEL\r\n")
	piece, sent, most := strings.Repeat("$0\r\n\r\n", 64<<10), 0, int64(0)
	for sent < limit {
		n, err := io.WriteString(c, piece)
		if sent += n; err != nil {
			break
		}
		most = max(most, heap()-before)
	}
	if sent >= limit {
		t.Errorf("the client could send %d bytes", sent)
	}
	if most > 4*limit {
		t.Errorf("the arguments of %d bytes hold up to %d MB", sent, most>>20)
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
