package proxy_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// What a client can vary as it likes: each line is sent by a new connection for each number.
var variations = []struct {
	name, lines string
	replies     int
}{
	{"passwords of default", "AUTH default %d\r\nGET k\r\n", 2},
	{"passwords in HELLO", "HELLO 3 AUTH default %d\r\nGET k\r\n", 2},
	{"passwords of a user without one", "AUTH open %d\r\nGET k\r\n", 2},
	{"databases", "SELECT %d\r\nGET k\r\n", 2},
	{"databases and protocols", "HELLO 3\r\nSELECT %d\r\nGET k\r\nHELLO 2\r\nGET k\r\n", 5},
	{"names", "CLIENT SETNAME n%d\r\nEVAL 'return 1' 0\r\n", 2},
	{"names and databases", "SELECT %[1]d\r\nCLIENT SETNAME n%[1]d\r\nEVAL 'return 1' 0\r\n", 3},
	{"transactions by passwords", "AUTH open %d\r\nMULTI\r\nEXEC\r\n", 3},
}

// However a client varies what it may, it does not multiply the connections to the server, and others
// go on.
func TestVaryingOpensNoConnections(t *testing.T) {
	for _, row := range variations {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Args: []string{"--databases", "5000"}}.Start(t)
			addr := serve(t, srv.Addr, asControl(srv), func(o *proxy.Options) { o.Limits.UserLinks = 40 })
			srv.MustDo("ACL", "SETUSER", "open", "on", "nopass", "~*", "&*", "+@all")
			good := dial(t, addr)
			good.do("GET k")
			before := tail(roundTrips(good, 500))
			done := make(chan error, 1)
			go func() { done <- vary(addr, row.lines, row.replies, 400) }()
			var times []time.Duration
			for running := true; running; {
				times = append(times, roundTrips(good, 10)...)
				select {
				case err := <-done:
					running = false
					if err != nil {
						t.Error(err)
					}
				case <-time.After(2 * time.Millisecond): // without a pause this client takes half a processor
				}
			}
			n, _ := strconv.Atoi(srv.Info("clients")["connected_clients"])
			t.Logf("%d connections; p99 of another's command %v before, %v beside it", n, before, tail(times))
			if n > 40+10 { // and those of the proxy's own

				t.Errorf("400 variations have opened %d connections", n)
			}
		})
	}
}

// vary sends lines with each of n numbers, half of them by one connection, the others each by its own.
func vary(addr, lines string, replies, n int) error {
	var c *conn
	for i := range n {
		if c == nil || i > n/2 {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			defer nc.Close()
			c = &conn{Conn: nc, r: bufio.NewReader(nc)}
		}
		if _, err := fmt.Fprintf(c, lines, i); err != nil {
			return err
		}
		for range replies {
			c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
			got, err := readReply(c.r)
			if err != nil {
				return fmt.Errorf("%q: got %q, then %w", fmt.Sprintf(lines, i), got, err)
			}
			if got[0] == '-' {
				return fmt.Errorf("%q: got %q", fmt.Sprintf(lines, i), got)
			}
		}
	}
	return nil
}

// Where all connections are held, a command waits, and is then answered what is used up; it goes on as
// soon as one is free. A part is left for shared links.
func TestLinksUsedUp(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	log := &proxytest.Log{}
	addr := serve(t, srv.Addr, asControl(srv), func(o *proxy.Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
		o.Limits.UpstreamLinks, o.Limits.LinkWait = 20, time.Second
	})
	other := dial(t, addr)
	var blocked []*conn
	blocking := func() int {
		n, err := strconv.Atoi(srv.Info("clients")["blocked_clients"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for usedUp := false; !usedUp; {
		if len(blocked) == 20 {
			t.Fatal("twenty clients block, and the links are not used up")
		}
		c, before := dial(t, addr), blocking()
		c.send("BLPOP none 0\r\n")
		over := make(chan struct{})
		go func() {
			defer close(over)
			_, _ = readReply(c.r)
		}()
		proxytest.Poll(t, "it blocks, or is refused", func() bool {
			select {
			case <-over:
				usedUp = true
				return true
			default:
				return blocking() > before
			}
		})
		blocked = append(blocked, c)
	}
	refused := func(c *conn) string {
		c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
		got, err := readReply(c.r)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	over := dial(t, addr)
	over.send("MULTI\r\n")
	over.send("SET never 1\r\n")
	over.send("EXEC\r\n")
	got := refused(over)
	want := "-UPSTREAM the connections to the server that limits.upstream_links of the proxy allows are all in use; " +
		"the command was not executed"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %s", got, want)
	}
	for range 2 { // the rest of the transaction
		if got := refused(over); got[0] != '-' {
			t.Errorf("got %q, want an error", got)
		}
	}
	if got := over.do("EXISTS never"); got != ":0\r\n" {
		t.Errorf("behind the transaction: %q", got)
	}
	if got := other.speak("SET k v", "SELECT 1", "GET k", "EVAL 'return 1' 0"); strings.Contains(got, "-UPSTREAM") {
		t.Errorf("shared links: %s", got)
	}
	if got := srv.MustDo("EXISTS", "never"); got != int64(0) {
		t.Error("a command of a transaction that was not begun was executed")
	}
	if !strings.Contains(log.String(), "limits.upstream_links") {
		t.Error("the log does not say so")
	}
	for _, c := range blocked {
		c.Close()
	}
	again := dial(t, addr)
	proxytest.Poll(t, "a connection is free", func() bool { return again.do("BLPOP none 0.001") == "*-1\r\n" })
}
