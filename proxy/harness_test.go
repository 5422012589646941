package proxy_test

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// serve starts a proxy in front of upstreamAddr on a free loopback port and ends it with the test.
func serve(t testing.TB, upstreamAddr string, change ...func(*proxy.Options)) (addr string) {
	addr, _ = serveServer(t, upstreamAddr, change...)
	return addr
}

func serveServer(t testing.TB, upstreamAddr string, change ...func(*proxy.Options)) (
	string, *proxy.Served) {
	t.Helper()
	o := proxy.Options{
		Listeners: []proxy.Listener{{Address: "127.0.0.1:0"}},
		Upstream:  upstream.Options{Address: upstreamAddr, MaxBackoff: 50 * time.Millisecond},
		Drain:     2 * time.Second,
		Logger:    testLog(t),
	}
	for _, f := range change {
		f(&o)
	}
	o.Journal.Segment = cmp.Or(o.Journal.Segment, smallSegment)
	srv, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the proxy ended with: %v", err)
		}
	})
	proxytest.Poll(t, "the proxy listens", func() bool { return len(srv.Addrs()) > 0 })
	return srv.Addrs()[0].String(), proxy.Serving(srv)
}

// smallSegment is the size of a log file in tests: the default is 64 MiB, and a journal begins with
// writing two files full of zeros.
const smallSegment = 1 << 20 // bytes

// testLog shows the proxy's log lines of a failed test.
func testLog(t testing.TB) *slog.Logger {
	w := io.Discard
	if testing.Verbose() {
		w = t.Output()
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// conn is a client that speaks bytes.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &conn{nc, t, bufio.NewReader(nc)}
}

// send writes raw bytes.
func (c *conn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send %q: %v", short(s), err)
	}
}

// do sends inline commands, one a line, and returns the reply to the last as text.
func (c *conn) do(line string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.reply()
}

// doAll sends inline commands, all at once, and returns their replies.
func (c *conn) doAll(lines ...string) []string {
	c.t.Helper()
	c.send(strings.Join(lines, "\r\n") + "\r\n")
	replies := make([]string, len(lines))
	for i := range replies {
		replies[i] = c.reply()
	}
	return replies
}

// doWell is doAll for lines of which none may get an error.
func (c *conn) doWell(lines ...string) {
	c.t.Helper()
	for i, r := range c.doAll(lines...) {
		if r[0] == '-' {
			c.t.Fatalf("%s: %s", lines[i], r)
		}
	}
}

// expect reads len(want) bytes and compares.
func (c *conn) expect(want string) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if err != nil || string(got) != want {
		c.t.Fatalf("got %q (%v), want %q", short(string(got[:n])), err, short(want))
	}
}

// expectEOF reads until the connection ends; nothing may come before.
func (c *conn) expectEOF() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
	rest, err := io.ReadAll(c.r)
	if len(rest) > 0 || err != nil && strings.Contains(err.Error(), "timeout") {
		c.t.Fatalf("got %q (%v), want the end of the connection", short(string(rest)), err)
	}
}

// reply reads one reply and returns its bytes.
func (c *conn) reply() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
	s, err := readReply(c.r)
	if err != nil {
		c.t.Fatalf("reading a reply: %v (so far %q)", err, short(s))
	}
	return s
}

// quiet checks that nothing comes for a while.
func (c *conn) quiet(d time.Duration) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(d))
	if b, err := c.r.Peek(1); err == nil {
		c.t.Fatalf("got %q, want silence", b)
	}
}

func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// denyFlush is a rule for tests.
func denyFlush(o *proxy.Options) {
	o.Rules = []policy.RuleSpec{{Name: "no", Action: "deny", Commands: []string{"flushall", "config|set"}}}
}
