package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/admin"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/upstream"
)

// twoServers is a proxy in front of a server, and another server to move to. The key "where" says
// which is which.
func twoServers(t *testing.T, change ...func(*proxy.Options)) (r *reloader, a, b *proxytest.Server) {
	t.Helper()
	a, b = proxytest.StartServer(t), proxytest.StartServer(t)
	a.MustDo("SET", "where", "a")
	b.MustDo("SET", "where", "b")
	return serveReloader(t, a.Addr, change...), a, b
}

// move reloads with srv as the upstream.
func (r *reloader) move(srv *proxytest.Server) {
	r.t.Helper()
	r.mustReload(func(o *proxy.Options) { o.Upstream.Address = srv.Addr })
}

const (
	inA = "$1\r\na\r\n"
	inB = "$1\r\nb\r\n"
)

// expectLeft waits until a server has no connection but the test's own.
func expectLeft(t *testing.T, srv *proxytest.Server) {
	t.Helper()
	proxytest.Poll(t, "nothing leads to the old server", func() bool {
		list, _ := srv.MustDo("CLIENT", "LIST").(string)
		return strings.Count(list, "\n") == 1
	})
}

func TestMovedClientsGoOn(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	c := dial(t, r.addr)
	for _, line := range []string{"GET where", "SELECT 3", "HELLO 3", "EVAL \"return 1\" 0",
		"BLPOP nolist 0.01", "SELECT 0"} {
		c.do(line)
	}
	if got := c.do("GET where"); got != inA {
		t.Fatalf("before: %q", got)
	}
	r.move(b)
	if got := c.do("GET where"); got != inB {
		t.Errorf("after: %q", got)
	}
	if got := c.do("CLIENT SETNAME x"); got != "+OK\r\n" {
		t.Errorf("a command of the lobby: %q", got)
	}
	expectLeft(t, a)
	for _, link := range r.links() {
		if link.RemoteAddr != b.Addr {
			t.Errorf("a link to %s", link.RemoteAddr)
		}
	}
}

// What the old server has not answered yet is answered by it, once and in order, and only then does
// its client go on with the new one. Nobody else waits.
func TestMoveWaitsForReplies(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	c, idle := dial(t, r.addr), dial(t, r.addr)
	c.do("GET where")
	idle.do("GET where")
	a.Pause()
	t.Cleanup(a.Resume)
	c.send("INCR n\r\nGET where\r\n")
	awaitInFlight(r.t, r.srv, 2)
	r.move(b)
	if got := idle.do("GET where"); got != inB {
		t.Errorf("an idle client: %q", got)
	}
	c.send("INCR n\r\nGET where\r\n")
	c.quiet(50 * time.Millisecond)
	a.Resume()
	c.expect(":1\r\n" + inA + ":1\r\n" + inB)
	expectLeft(t, a)
}

// The same for a transaction whose EXEC is out, and for a command on a link of its own.
func TestMoveWaitsForPinnedReplies(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	exec, single := dial(t, r.addr), dial(t, r.addr)
	for _, c := range []*conn{exec, single} {
		c.send("BLPOP nolist 0.5\r\n") // both links are there
	}
	for _, c := range []*conn{exec, single} {
		c.expect("*-1\r\n")
	}
	a.Pause()
	t.Cleanup(a.Resume)
	exec.send("MULTI\r\nINCR n\r\nEXEC\r\n")
	single.send("BLPOP nolist 0.01\r\nGET where\r\n")
	awaitInFlight(r.t, r.srv, 5)
	r.move(b)
	exec.send("MULTI\r\nGET where\r\nEXEC\r\n")
	single.send("BLPOP nolist 0.01\r\nGET where\r\n")
	exec.quiet(50 * time.Millisecond)
	a.Resume()
	exec.expect("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n+OK\r\n+QUEUED\r\n*1\r\n" + inB)
	single.expect("*-1\r\n" + inA + "*-1\r\n" + inB)
	expectLeft(t, a)
}

// State on the old server's connection is lost, and the client is told by the end of its own.
func TestMoveEndsState(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{
		"transaction": "MULTI\r\nSET stale 1\r\n", "watch": "WATCH where\r\n",
		"subscriber": "SUBSCRIBE ch\r\n", "monitor": "MONITOR\r\n", "wait": "WAIT 0 1\r\n",
		"tracking": "HELLO 3\r\nCLIENT TRACKING ON\r\n", "replica": "SYNC\r\n",
		"no replies": "CLIENT REPLY OFF\r\nSET x 1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r, a, b := twoServers(t)
			c := dial(t, r.addr)
			c.send(prepare)
			proxytest.Poll(t, "it has a link", func() bool {
				has := slices.ContainsFunc(r.links(), func(l admin.Link) bool { return l.Session != 0 })
				return has && r.pinnedReady()
			})
			if name == "transaction" {
				c.expect("+OK\r\n+QUEUED\r\n")
			}
			r.move(b)
			c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
			if _, err := io.Copy(io.Discard, c.r); errors.Is(err, context.DeadlineExceeded) {
				t.Error("the connection goes on")
			}
			expectLeft(t, a)
			if n := a.MustDo("EXISTS", "stale"); n != int64(0) {
				t.Error("half a transaction was executed")
			}
			if got := dial(t, r.addr).do("GET where"); got != inB {
				t.Errorf("a new client: %q", got)
			}
		})
	}
}

// Whoever blocks for ever would wait for what only the new server gets.
func TestMoveEndsBlocking(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t)
	c := dial(t, r.addr)
	c.send("BLPOP list 0\r\nBLPOP list 0\r\n")
	proxytest.Poll(t, "it blocks", func() bool {
		return a.Info("clients")["blocked_clients"] == "1"
	})
	r.move(b)
	c.expect("*-1\r\n*-1\r\n") // both had left
	c.send("BLPOP list 0\r\n")
	b.MustDo("RPUSH", "list", "x")
	c.expect("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
	expectLeft(t, a)
}

// Who only waits for room on an old link need not wait for the old server.
func TestMoveFreesThoseWhoWait(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t, func(o *proxy.Options) { o.Limits.LinkQueue = 100 })
	full, waits := dial(t, r.addr), dial(t, r.addr)
	full.do("GET where")
	waits.do("GET where")
	a.Pause()
	t.Cleanup(a.Resume)
	full.send("ECHO " + strings.Repeat("x", 200) + "\r\n")
	awaitInFlight(r.t, r.srv, 1)
	waits.send("GET where\r\n")
	proxytest.Poll(t, "it waits", func() bool {
		list, _, err := r.srv.Sessions(context.Background(), admin.SessionQuery{})
		return err == nil && list[1].InputBuffer > 0
	})
	r.move(b)
	waits.expect(inB)
}

// What was learnt of the old server, that it is down or that it pauses its clients, does not hold
// for the new one.
func TestMoveForgetsTheOldServer(t *testing.T) {
	t.Parallel()
	r, a, b := twoServers(t, func(o *proxy.Options) { o.Upstream.MaxBackoff = time.Hour })
	c := dial(t, r.addr)
	c.do("CLIENT PAUSE 100000000 WRITE")
	a.Kill()
	proxytest.Poll(t, "the next attempt is far away", func() bool {
		c.do("GET where")
		st, err := r.srv.Stats(t.Context())
		return err == nil && st.Upstream.Outage != nil && st.Upstream.Outage.Next > 500*time.Millisecond
	})
	r.move(b)
	if got := c.do("SET x 1"); got != "+OK\r\n" {
		t.Errorf("after: %q", got)
	}
	for _, l := range r.links() {
		if l.Kind == "pinned" {
			t.Error("writes are still kept apart, as while the old server paused them")
		}
	}
}

// A command whose link is still being dialled has not left: it goes to the new server.
func TestMoveRedials(t *testing.T) {
	t.Parallel()
	b := proxytest.StartServer(t)
	b.MustDo("SET", "where", "b")
	var hang atomic.Bool
	dialling := make(chan struct{}, 100)
	lookUp := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if !hang.Load() {
			return nil, errors.New("no name server")
		}
		dialling <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r := serveReloader(t, "nowhere.invalid:6379", func(o *proxy.Options) {
		o.Upstream.Resolver = &net.Resolver{PreferGo: true, Dial: lookUp}
		o.Upstream.ConnectTimeout = time.Minute
	})
	hang.Store(true)
	c, multi := dial(t, r.addr), dial(t, r.addr)
	c.send("GET where\r\n")
	multi.send("MULTI\r\nGET where\r\nEXEC\r\n")
	proxytest.Poll(t, "both wait", func() bool {
		list, _, err := r.srv.Sessions(t.Context(), admin.SessionQuery{})
		return err == nil && len(list) == 2 && list[0].InputBuffer > 0 && list[1].InputBuffer > 0
	})
	<-dialling
	r.mustReload(func(o *proxy.Options) {
		o.Upstream = upstream.Options{Address: b.Addr, MaxBackoff: 50 * time.Millisecond}
	})
	c.expect(inB)
	multi.expect("+OK\r\n+QUEUED\r\n*1\r\n" + inB)
}

// Other settings of the same server cost nobody his connection.
func TestSameServerKeepsLinks(t *testing.T) {
	t.Parallel()
	a := proxytest.StartServer(t)
	r := serveReloader(t, a.Addr)
	c := dial(t, r.addr)
	c.do("PING")
	c.do("MULTI")
	r.mustReload(func(o *proxy.Options) { o.Upstream.ConnectTimeout = 3 * time.Second })
	c.send("INCR n\r\nEXEC\r\n")
	c.expect("+QUEUED\r\n*1\r\n:1\r\n")
	a.MustDo("CONFIG", "SET", "requirepass", "secret")
	if _, err := r.reload(func(o *proxy.Options) { o.Upstream.Password = "wrong" }); err == nil ||
		!errors.Is(err, upstream.ErrLogin) {
		t.Errorf("a wrong password: %v", err)
	}
	r.mustReload(func(o *proxy.Options) { o.Upstream.Password = "secret" })
	if got := c.do("PING"); got != "+PONG\r\n" {
		t.Errorf("after the password: %q", got)
	}
}

// Under load and back and forth, each reply stands for one execution, on one server or the other.
func TestMovesLoseNothing(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2} {
		t.Run(strconv.Itoa(workers), func(t *testing.T) {
			r, a, b := twoServers(t, func(o *proxy.Options) { o.Workers = workers })
			var done atomic.Bool
			var answered atomic.Int64
			var clients sync.WaitGroup
			for i := range 8 {
				clients.Go(func() { countUp(t, r.addr, i, &done, &answered) })
			}
			for i := range 10 {
				n := answered.Load()
				proxytest.Poll(t, "commands are answered", func() bool {
					return answered.Load() > n+200
				})
				r.move([]*proxytest.Server{b, a}[i%2])
			}
			done.Store(true)
			clients.Wait()
			if got, want := counted(t, a)+counted(t, b), answered.Load(); got != want {
				t.Errorf("%d executed, %d answered", got, want)
			}
		})
	}
}

// countUp increments until done, by pipelines of single commands or, every other client, of
// transactions. A connection that ends is made anew; what it has not answered must not count.
func countUp(t *testing.T, addr string, i int, done *atomic.Bool, answered *atomic.Int64) {
	frame, want := "INCR n\r\n", 1
	if i%2 == 1 {
		frame, want = "MULTI\r\nINCR n\r\nEXEC\r\n", 3
	}
	const depth = 5
	for !done.Load() {
		c := dial(t, addr)
		for !done.Load() {
			c.SetDeadline(time.Now().Add(proxytest.PollTimeout))
			if _, err := io.WriteString(c, strings.Repeat(frame, depth)); err != nil {
				break
			}
			n, err := countReplies(c, depth*want)
			answered.Add(n)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("client %d: %v", i, err)
				}
				break
			}
		}
		c.Close()
	}
}

// countReplies reads replies and counts those that say that an increment was executed.
func countReplies(c *conn, replies int) (n int64, err error) {
	for range replies {
		reply, err := readReply(c.r)
		if err != nil {
			return n, err
		}
		switch {
		case strings.HasPrefix(reply, ":"), strings.HasPrefix(reply, "*1\r\n:"):
			n++
		case reply != "+OK\r\n" && reply != "+QUEUED\r\n":
			return n, fmt.Errorf("reply %q", reply)
		}
	}
	return n, nil
}

func counted(t *testing.T, srv *proxytest.Server) int64 {
	t.Helper()
	text, _ := srv.MustDo("GET", "n").(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
