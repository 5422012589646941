package proxy_test

import (
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
	"holdfast/proxy/proxytest"
)

// bystanders are well-behaved clients: each sends GET, reads the reply, and so on.
type bystanders struct {
	t    testing.TB
	done chan struct{}
	all  sync.WaitGroup

	count []atomic.Int64

	mu    sync.Mutex
	times []time.Duration
}

func startBystanders(t testing.TB, addr string, n int) *bystanders {
	b := &bystanders{t: t, done: make(chan struct{}), count: make([]atomic.Int64, n)}
	for i := range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		b.all.Add(1)
		go b.run(nc, &b.count[i])
	}
	t.Cleanup(func() { b.stop("") })
	return b
}

// bystanderPause is between two commands of a bystander: without it four take a processor for as long as the test waits.
const bystanderPause = 2 * time.Millisecond

// run is one client. It ends by stop, or with an error of the test's.
func (b *bystanders) run(nc net.Conn, count *atomic.Int64) {
	defer b.all.Done()
	defer nc.Close()
	reply := make([]byte, len("$1\r\nv\r\n"))
	for {
		select {
		case <-b.done:
			return
		default:
		}
		began := time.Now()
		_ = nc.SetDeadline(began.Add(proxytest.PollTimeout)) // the next call fails if this does
		if _, err := io.WriteString(nc, "GET calm\r\n"); err != nil {
			b.t.Errorf("a bystander: %v", err)
			return
		}
		if n, err := io.ReadFull(nc, reply); err != nil || string(reply) != "$1\r\nv\r\n" {
			b.t.Errorf("a bystander got %q (%v)", reply[:n], err)
			return
		}
		count.Add(1)
		b.mu.Lock()
		b.times = append(b.times, time.Since(began))
		b.mu.Unlock()
		time.Sleep(bystanderPause)
	}
}

// goOn waits until each has been answered often enough, and says how quickly.
func (b *bystanders) goOn(what string, times int64) {
	b.t.Helper()
	b.mu.Lock()
	b.times = nil
	b.mu.Unlock()
	var before []int64
	for i := range b.count {
		before = append(before, b.count[i].Load())
	}
	proxytest.Poll(b.t, "bystanders go on "+what, func() bool {
		for i := range b.count {
			if b.count[i].Load()-before[i] < times {
				return false
			}
		}
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.times)
	at := func(q int) time.Duration { return b.times[len(b.times)*q/100].Round(time.Microsecond) }
	b.t.Logf("%s: p50 %v, p99 %v, most %v of %d", what, at(50), at(99),
		b.times[len(b.times)-1].Round(time.Microsecond), len(b.times))
}

func (b *bystanders) stop(what string) {
	select {
	case <-b.done:
	default:
		close(b.done)
	}
	b.all.Wait()
}

// Writes that a CLIENT PAUSE from elsewhere holds up stop no reader, however many they are, and are
// carried out once each.
func TestWritesHeldFromElsewhere(t *testing.T) {
	for _, kind := range []string{"valkey", "redis7", "valkey9"} {
		t.Run(kind, func(t *testing.T) {
			srv := proxytest.Spec{Kind: kind}.Start(t)
			srv.MustDo("SET", "calm", "v")
			addr := serve(t, srv.Addr)
			b := startBystanders(t, addr, 4)
			b.goOn("before", 500)
			srv.MustDo("CLIENT", "PAUSE", "600000", "WRITE")
			var writers []*conn
			for i := range 24 {
				c := dial(t, addr)
				c.send([]string{"INCR n\r\n", "MULTI\r\nINCR n\r\nEXEC\r\n", "PUBLISH ch x\r\n",
					"EVAL \"return redis.call('incr','n')\" 0\r\n"}[i%4])
				writers = append(writers, c)
			}
			b.goOn("while writes are held", 2000)
			late := dial(t, addr)
			if got := late.do("GET calm"); got != "$1\r\nv\r\n" {
				t.Errorf("a new reader got %q", got)
			}
			for range 3 { // writers that come later
				c := dial(t, addr)
				c.send("INCR n\r\n")
				writers = append(writers, c)
				b.goOn("as more writers come", 100)
			}
			if open := len(strings.Split(fmt.Sprint(srv.MustDo("CLIENT", "LIST")), "\n")); open > 40 {
				t.Errorf("%d connections at the server", open)
			}
			srv.MustDo("CLIENT", "UNPAUSE")
			for i, c := range writers {
				if i < 24 && i%4 == 1 {
					c.expect("+OK\r\n+QUEUED\r\n")
				}
				if got := c.reply(); strings.HasPrefix(got, "-") {
					t.Errorf("writer %d got %q", i, got)
				}
			}
			if got := srv.MustDo("GET", "n"); got != "21" {
				t.Errorf("n is %v, want 21", got)
			}
		})
	}
}

// An upstream that sends half a reply and stops, on one link after the other, or that does not answer
// at all there: the others are answered by other links, and the waiting commands get an error.
func TestUpstreamThatStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, after := range []int{0, 3} {
		t.Run(fmt.Sprintf("after %d bytes", after), func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t)
			srv.MustDo("SET", "calm", "v")
			srv.MustDo("SET", "poison", "value")
			relay := proxytest.StartFaultProxy(t, srv.Addr)
			addr := serve(t, relay.Addr)
			b := startBystanders(t, addr, 4)
			b.goOn("before", 500)
			relay.Arm(proxytest.Fault{Op: proxytest.Stall, On: proxytest.Replies, Trigger: "poison",
				After: after})
			var hit []*conn
			for i := range 12 {
				c := dial(t, addr)
				c.send([]string{"GET poison\r\n", "APPEND poison x\r\n",
					"MULTI\r\nGET poison\r\nEXEC\r\n"}[i%3])
				hit = append(hit, c)
				b.goOn("beside dead links", 100)
			}
			for i, c := range hit {
				got := c.reply()
				for i%3 == 2 && strings.HasPrefix(got, "+") {
					got = c.reply() // MULTI's and GET's may still have come
				}
				if !strings.HasPrefix(got, "-UPSTREAM ") ||
					!strings.Contains(got, "may have been executed") {
					t.Errorf("%d got %q", i, got)
				}
			}
			b.goOn("behind them", 500)
		})
	}
}

// A server that is slow, for everyone, loses no link, and what is sent to it is sent once.
func TestSlowServerLosesNoLink(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Args: []string{"--enable-debug-command", "yes"}}.Start(t)
	addr := serve(t, srv.Addr)
	var cs []*conn
	for range 3 {
		c := dial(t, addr)
		c.do("PING")
		cs = append(cs, c)
	}
	sleeper := dial(t, srv.Addr)
	sleeper.send("DEBUG SLEEP 7\r\n") // longer than a link may be silent while others are answered
	for _, c := range cs {
		c.send("GET k\r\nINCR n\r\n")
	}
	sleeper.expect("+OK\r\n")
	seen := map[string]bool{}
	for _, c := range cs {
		c.expect("$-1\r\n")
		seen[c.reply()] = true
	}
	if len(seen) != 3 || !seen[":3\r\n"] {
		t.Errorf("INCR was answered %v", seen)
	}
}

// Each client whose write is held by CLIENT PAUSE is one that the server counts as blocked. Once that
// is known links are opened for them up to a bound, beyond which, or where links are scarce, they share.
func TestHeldWritersWaitApart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name             string
		writers, blocked int
		change           func(*proxy.Options)
	}{
		{"few", 6, 6, func(*proxy.Options) {}},
		{"many", 40, 8, func(*proxy.Options) {}},
		{"few links", 24, 2, func(o *proxy.Options) { o.Limits.ClientLinks = 4 }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.StartServer(t)
			addr := serve(t, srv.Addr, row.change)
			boss := dial(t, addr)
			if got := boss.do("CLIENT PAUSE 600000 WRITE"); got != "+OK\r\n" {
				t.Fatalf("got %q", got)
			}
			var writers []*conn
			for range row.writers {
				c := dial(t, addr)
				c.send("INCR n\r\nPING\r\n")
				writers = append(writers, c)
			}
			proxytest.Poll(t, "the server counts the writers as blocked", func() bool {
				n, err := strconv.Atoi(srv.Info("clients")["blocked_clients"])
				return err == nil && n >= row.blocked
			})
			if got := dial(t, addr).do("GET n"); got != "$-1\r\n" {
				t.Errorf("a reader got %q", got)
			}
			if open := strings.Count(fmt.Sprint(srv.MustDo("CLIENT", "LIST")), "\n"); open > 30 {
				t.Errorf("%d connections at the server", open)
			}
			if got := boss.do("CLIENT UNPAUSE"); got != "+OK\r\n" {
				t.Fatalf("got %q", got)
			}
			for i, c := range writers {
				if got := c.reply(); !strings.HasPrefix(got, ":") {
					t.Errorf("writer %d got %q", i, got)
				}
				c.expect("+PONG\r\n")
			}
			if got := srv.MustDo("GET", "n"); got != strconv.Itoa(row.writers) {
				t.Errorf("n is %v, want %d", got, row.writers)
			}
		})
	}
}

// What the proxy sends to find out whether the server answers leaves no line in ACL LOG for a user who
// may not send it.
func TestProofsOfRestrictedUsers(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "few", "on", ">one", "~*", "resetchannels", "+get", "+set")
	c := dial(t, serve(t, srv.Addr, asControl(srv)))
	c.do("AUTH few one")
	c.do("SET k 1")
	for _, line := range []string{"GET k", "SET k 2"} {
		srv.MustDo("ACL", "LOG", "RESET")
		srv.MustDo("CLIENT", "PAUSE", "2000", "ALL")
		c.do(line)
		if log := srv.MustDo("ACL", "LOG").([]any); len(log) > 0 {
			t.Errorf("%s: %v", line, log)
		}
	}
}
