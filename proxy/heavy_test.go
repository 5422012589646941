package proxy_test

import (
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// outstanding is how many commands are at the server, by kind of link.
func outstanding(t *testing.T, p *proxy.Served) (data, all int) {
	t.Helper()
	links, err := p.Links(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		all += l.Outstanding
		if l.Kind == "shared" {
			data += l.Outstanding
		}
	}
	return data, all
}

// However many clients ask for heavy values, and whether they read or not, what stands in front of a
// newcomer is bounded: their commands wait in the proxy, each client's in its order.
func TestManyHeavyClients(t *testing.T) {
	t.Parallel()
	const clients, deep, size = 60, 128, 20 << 10
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "heavy", strings.Repeat("x", size))
	srv.MustDo("SET", "calm", "v")
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) { o.Workers = 1 })
	heavy := proxytest.Bulk(strings.Repeat("x", size))
	var known, unknown []*conn
	for range clients {
		c := dial(t, addr)
		c.send(strings.Repeat("GET heavy\r\n", 6))
		c.expect(strings.Repeat(heavy, 6))
		known = append(known, c)
		c = dial(t, addr)
		c.do("PING")
		unknown = append(unknown, c)
	}
	srv.Pause()
	for _, part := range []struct {
		what      string
		clients   []*conn
		data, all int // commands, at the most
	}{
		{"clients whose replies are known", known, 8, 4<<20/size + 16},
		{"clients of whom nothing is known", unknown, clients + 8, 4<<20/size + 16 + clients},
	} {
		for _, c := range part.clients {
			go c.Write([]byte(strings.Repeat("GET heavy\r\n", deep)))
		}
		proxytest.Poll(t, "all of it has been read", func() bool {
			st, err := p.Stats(t.Context())
			return err == nil && st.ClientBufferBytes >= int64(len(part.clients)*(deep-16)*len("GET heavy\r\n"))
		})
		if data, all := outstanding(t, p); all == 0 || data > part.data || all > part.all {
			t.Errorf("%s: %d commands by ordinary links, %d in all; want at most %d and %d", part.what,
				data, all, part.data, part.all)
		}
	}
	late := dial(t, addr)
	late.send("GET calm\r\n")
	srv.Resume()
	late.expect("$1\r\nv\r\n")
	for _, c := range append(known, unknown...) {
		for range deep {
			if got := c.reply(); got != heavy {
				t.Fatalf("got %q", short(got))
			}
		}
		c.send("GET calm\r\nGET heavy\r\nGET calm\r\n")
		c.expect("$1\r\nv\r\n" + heavy + "$1\r\nv\r\n")
	}
	if data, all := outstanding(t, p); data+all > 0 {
		t.Errorf("%d commands are still outstanding", all)
	}
}

// A client whose replies become light again goes back to the ordinary link.
func TestHeavyClientBecomesLight(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("SET", "heavy", strings.Repeat("x", 100<<10))
	addr, p := serveServer(t, srv.Addr, func(o *proxy.Options) { o.Workers = 1 })
	c := dial(t, addr)
	sent := func(kind string) (n uint64) {
		links, err := p.Links(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if l.Kind == kind {
				n += l.Commands
			}
		}
		return n
	}
	c.do("GET heavy")
	c.do("GET heavy")
	if n := sent("bulk"); n != 1 {
		t.Errorf("%d commands by the link for heavy replies, want 1", n)
	}
	batch := strings.Repeat("ECHO "+strings.Repeat("y", 500)+"\r\n", 200)
	for range 3 {
		c.send(batch)
		for range 200 {
			c.reply()
		}
	}
	before := sent("bulk")
	c.do("GET none")
	if n := sent("bulk"); n != before {
		t.Error("it still goes by the link for heavy replies")
	}
}
