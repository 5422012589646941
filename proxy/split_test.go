package proxy_test

import (
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A stream of commands of every kind, and what a fresh server answers.
var mixedStream = []struct{ send, want string }{
	{proxytest.Command("SET", "k", "a\r\nb"), "+OK\r\n"},
	{"\r\nGET k\r\n", "$4\r\na\r\nb\r\n"},
	{proxytest.Command("EVAL", "return KEYS[1]", "1", "k"), "$1\r\nk\r\n"},
	{"*0\r\n" + proxytest.Command("MULTI"), "+OK\r\n"},
	{"INCR n\r\n", "+QUEUED\r\n"},
	{proxytest.Command("EXEC"), "*1\r\n:1\r\n"},
	{proxytest.Command("DEL", "k", "n"), ":2\r\n"},
	{proxytest.Command("RPUSH", "l", "x"), ":1\r\n"},
	{proxytest.Command("BLPOP", "l", "0"), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n"},
	{"SELECT 1\r\n", "+OK\r\n"},
	{proxytest.Command("FLUSHALL"), "-DENIED 'flushall' is refused by rule 'no' of the proxy; " +
		"nothing was executed; if it must run, ask the operator to change that rule; see docs/errors.md#denied\r\n"},
	{proxytest.Command("SUBSCRIBE", "c"), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"},
	{"PING\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n"},
	{proxytest.Command("RESET"), "+RESET\r\n"},
	{"QUIT\r\n", "+OK\r\n"},
}

func mixed() (send, want string) {
	for _, m := range mixedStream {
		send += m.send
		want += m.want
	}
	return send, want
}

func TestSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			addr, p := serveServer(t, srv.Addr, denyFlush, func(o *proxy.Options) {
				o.Driver = driver
			})
			send, want := mixed()
			for i := range len(send) {
				c := dial(t, addr)
				if i > 0 {
					sendAndAwait(t, p, c, send[:i])
				}
				c.send(send[i:])
				c.expect(want)
				c.expectEOF()
				c.Close()
			}
			c := dial(t, addr)
			for i := range len(send) {
				sendAndAwait(t, p, c, send[i:i+1])
			}
			c.expect(want)
			c.expectEOF()
		})
	}
}

// sendAndAwait sends bytes and waits until the proxy has read them.
func sendAndAwait(t *testing.T, p *proxy.Served, c *conn, s string) {
	t.Helper()
	before := bytesIn(t, p)
	c.send(s)
	proxytest.Poll(t, "the proxy reads", func() bool {
		return bytesIn(t, p) >= before+uint64(len(s))
	})
}

func bytesIn(t *testing.T, p *proxy.Served) uint64 {
	t.Helper()
	st, err := p.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.ClientBytesIn
}
