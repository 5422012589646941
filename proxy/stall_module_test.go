package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

// holding is a server with a command that blocks its connection and does not say so, as a module can.
// It is answered once release is closed.
type holding struct {
	*proxytest.Scripted
	release chan struct{}
}

// startHolding starts a server that has PING and, both of one module or of none, GET, PUT and HOLD,
// which blocks.
func startHolding(t *testing.T, flags ...string) *holding {
	h := &holding{release: make(chan struct{})}
	h.Scripted = proxytest.StartAnswering(t, func(args []string) (string, bool) {
		switch strings.ToLower(args[0]) {
		case "get":
			return "$1\r\nv\r\n", false
		case "put":
			return "+OK\r\n", false
		case "pfcount": // by which the proxy finds out whether writes are held
			return ":0\r\n", false
		case "hold":
			<-h.release
			return "+" + args[1] + "\r\n", false
		}
		return "-ERR unknown command\r\n", false
	})
	t.Cleanup(h.letGo)
	get := []string{"readonly", "fast"}
	if flags[0] == "module" {
		get = []string{"module", "readonly"}
	}
	entries := []string{
		proxytest.CommandEntry("get", get...), proxytest.CommandEntry("hold", flags...),
		proxytest.CommandEntry("put", flags[0], "write"),
		"*10\r\n" + proxytest.Bulk("ping") + ":-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*1\r\n" +
			"+@connection\r\n*0\r\n*0\r\n*0\r\n",
	}
	h.Reply("command", fmt.Sprintf("*%d\r\n", len(entries))+strings.Join(entries, ""))
	return h
}

func (h *holding) letGo() {
	select {
	case <-h.release:
	default:
		close(h.release)
	}
}

// A command that blocks its connection without saying so, a module's or one of a newer server, stops
// only its own clients, however many of them there are. Those are answered when it ends.
func TestCommandsThatBlockUnawares(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		flags []string
	}{
		{"a module's read", []string{"module", "readonly"}},
		{"a module's write", []string{"module", "write"}},
		{"a new read", []string{"readonly"}},
		{"a new write", []string{"write"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			up := startHolding(t, row.flags...)
			addr := serve(t, up.Addr)
			b := startBystanders(t, addr, 4)
			b.goOn("before", 200)
			var stuck []*conn
			for i := range 100 {
				c := dial(t, addr)
				c.send(fmt.Sprintf("HOLD %d\r\n", i))
				stuck = append(stuck, c)
				if i < 20 || i%10 == 9 { // one after the other, then ten at a time
					b.goOn("beside them", 20)
				}
			}
			late := dial(t, addr)
			if got := late.do("GET calm"); got != "$1\r\nv\r\n" {
				t.Errorf("a new client got %q", got)
			}
			up.letGo()
			broken := 0
			for i, c := range stuck {
				switch got := c.reply(); {
				case strings.HasPrefix(got, "-UPSTREAM "):
					broken++
				case got != fmt.Sprintf("+%d\r\n", i):
					t.Errorf("client %d got %q", i, got)
				}
			}
			t.Logf("%d were broken off", broken)
			if row.flags[0] == "module" && broken > 0 {
				t.Error("they have links of their own, which block on purpose")
			}
		})
	}
}
