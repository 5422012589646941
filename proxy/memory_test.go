package proxy_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// What many clients send while the server is away stays within limits.memory, and none of them is closed
// for it: what is beyond stays with the kernel until they are answered.
func TestManyHeldClientsStayWithinMemory(t *testing.T) {
	t.Parallel()
	const clients, each, limit = 300, 256 << 10, 16 << 20
	srv := proxytest.StartServer(t)
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		o.Workers, o.Limits.Memory, o.Hold = 1, limit, 2*time.Second
	})
	var cs []*conn
	for range clients {
		c := dial(t, addr)
		c.do("PING")
		cs = append(cs, c)
	}
	srv.Kill()
	frame := proxytest.Command("SET", "k", strings.Repeat("x", 8000))
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var n int64
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				if st, err := p.Stats(t.Context()); err == nil {
					n = max(n, st.ClientBufferBytes)
				}
			case <-stop:
				most <- n
				return
			}
		}
	}()
	for _, c := range cs {
		go c.Write([]byte(strings.Repeat(frame, each/len(frame))))
	}
	for _, c := range cs {
		for range each / len(frame) {
			if got := c.reply(); !strings.HasPrefix(got, "-UPSTREAM ") {
				t.Fatalf("got %q", short(got))
			}
		}
	}
	close(stop)
	if n := <-most; n > limit || n == 0 {
		t.Errorf("%d bytes were buffered, the limit is %d", n, limit)
	}
}
