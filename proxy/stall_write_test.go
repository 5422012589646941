package proxy

import (
	"strings"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// What others have sent behind a command that blocks unawares is answered within a bound: reads by
// another link, writes with an error, as they may have been executed.
func TestWritesBehindABlockedModule(t *testing.T) {
	inBubble(t, nil, func(b *bubble) {
		holder, writer, reader, beside := b.client(), b.client(), b.client(), b.client()
		for _, c := range []*fakeClient{holder, writer, reader} {
			c.send("PUT k")
			c.expect("+OK\r\n")
		}
		b.server.change(func() { b.server.held["hold"] = true })
		// No time passes between these: they go by one link.
		holder.send("HOLD k")
		writer.send("PUT k")
		reader.send("PEEK k")
		writer.expect("")
		for range 120 { // the server answers others meanwhile
			beside.send("GET x")
			beside.expect("$1\r\nx\r\n")
			b.sleep(100 * time.Millisecond)
		}
		writer.expectError("UPSTREAM", "may have been executed")
		reader.expect("+V\r\n")
		holder.expectError("UPSTREAM", "may have been executed")
		writer.send("PUT k")
		writer.expect("+OK\r\n")
	}, withModule)
}

// withModule gives the server a module: HOLD and PUT write, PEEK reads.
func withModule(o *Options) {
	f := o.Upstream.Dialer.(*fakeServer)
	f.instead["put"], f.instead["peek"], f.instead["pfcount"] = "+OK\r\n", "+V\r\n", ":0\r\n"
	f.instead["command"] = "*4\r\n" + strings.Join([]string{
		proxytest.CommandEntry("get", "readonly", "fast"), proxytest.CommandEntry("hold", "module", "write"),
		proxytest.CommandEntry("put", "module", "write"), proxytest.CommandEntry("peek", "module", "readonly"),
	}, "")
}
