package proxy_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// Many clients of two users and two protocol versions at once, each with keys and values of its
// own: whatever another client's reply, order or user would be, one of them notices.
func TestClientsAreIsolated(t *testing.T) {
	t.Parallel()
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			srv := proxytest.StartServer(t)
			for _, user := range []string{"u0", "u1"} {
				srv.MustDo("ACL", "SETUSER", user, "on", ">pw", "~*", "&*", "+@all")
			}
			addr := serve(t, srv.Addr, func(o *proxy.Options) {
				o.Driver, o.Workers = driver, 2
			})
			var all sync.WaitGroup
			for id := range 16 {
				all.Go(func() {
					p := &player{t: t, addr: addr, id: id, rnd: rand.New(rand.NewPCG(1, uint64(id)))}
					for range 40 {
						if err := p.turn(); err != nil {
							t.Errorf("client %d: %v", id, err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// player is one client that knows what it has to be answered.
type player struct {
	t     *testing.T
	addr  string
	id    int
	rnd   *rand.Rand
	c     *conn
	life  int // connections so far: what one left behind may still be carried out
	count int // value of its counter
	seq   int
	send  strings.Builder
	want  strings.Builder
}

func (p *player) ask(want string, args ...string) {
	p.send.WriteString(proxytest.Command(args...))
	p.want.WriteString(want)
}

// turn sends one to eight pieces of work at once and checks the replies, or leaves without them.
func (p *player) turn() error {
	if p.c == nil {
		p.c = dial(p.t, p.addr)
		p.life++
		p.ask("+OK\r\n", "AUTH", p.user(), "pw")
		if p.rnd.IntN(2) == 0 {
			p.ask("+OK\r\n", "SELECT", strconv.Itoa(p.id%3))
		}
		p.ask(proxytest.Bulk(p.user()), "ACL", "WHOAMI")
		p.ask("+OK\r\n", "SET", p.key("n"), "0")
		p.count = 0
	}
	for range 1 + p.rnd.IntN(8) {
		p.work()
	}
	send, want := p.send.String(), p.want.String()
	p.send.Reset()
	p.want.Reset()
	if _, err := p.c.Write([]byte(send)); err != nil {
		return err
	}
	if p.rnd.IntN(12) == 0 {
		p.c.Close() // in the middle of it all
		p.c = nil
		return nil
	}
	return p.c.match(want)
}

func (p *player) user() string        { return fmt.Sprintf("u%d", p.id%2) }
func (p *player) key(k string) string { return fmt.Sprintf("%s:%d:%d", k, p.id, p.life) }
func (p *player) number() string      { p.count++; return fmt.Sprintf(":%d\r\n", p.count) }
func (p *player) value() (v, reply string) {
	p.seq++
	v = p.key(strconv.Itoa(p.seq))
	return v, proxytest.Bulk(v)
}

func (p *player) work() {
	v, bulk := p.value()
	switch p.rnd.IntN(10) {
	case 0, 1:
		p.ask("+OK\r\n", "SET", p.key("k"), v)
		p.ask(bulk, "GET", p.key("k"))
	case 2:
		p.ask(p.number(), "INCR", p.key("n"))
	case 3:
		p.ask(bulk, "EVAL", "return ARGV[1]", "0", v)
	case 4:
		p.ask("+OK\r\n", "MULTI")
		p.ask("+QUEUED\r\n", "INCR", p.key("n"))
		p.ask("+QUEUED\r\n", "ECHO", v)
		p.ask("*2\r\n"+p.number()+bulk, "EXEC")
	case 5:
		p.ask(":1\r\n", "RPUSH", p.key("l"+v), v)
		p.ask("*2\r\n"+proxytest.Bulk(p.key("l"+v))+bulk, "BLPOP", p.key("l"+v), "0")
	case 6:
		p.ask(proxytest.Bulk(p.user()), "ACL", "WHOAMI")
	case 7:
		p.ask("+OK\r\n", "CLIENT", "SETNAME", v)
		p.ask(bulk, "CLIENT", "GETNAME")
	case 8:
		big := strings.Repeat(v, 1000*p.rnd.IntN(20))
		p.ask(proxytest.Bulk(big), "ECHO", big)
	case 9:
		p.ask("+OK\r\n", "WATCH", p.key("k"))
		p.ask(p.number(), "INCR", p.key("n"))
		p.ask("+OK\r\n", "UNWATCH")
	}
}

// match reads as many bytes as want has and compares; it is expect for any goroutine.
func (c *conn) match(want string) error {
	for want != "" {
		c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
		got, err := readReply(c.r)
		if err != nil {
			return fmt.Errorf("got %q, then %w, want %q", short(got), err, short(want))
		}
		if !strings.HasPrefix(want, got) {
			return fmt.Errorf("got %q, want %q", short(got), short(want))
		}
		want = want[len(got):]
	}
	return nil
}

// Commands of one session that go by different links are carried out in the session's order.
func TestOrderBetweenLinks(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	addr := serve(t, srv.Addr)
	increments := [][]string{
		{"INCR", "n"},
		{"EVAL", "return redis.call('incr', 'n')", "0"},
		{"EVAL", "for i = 1, 2000 do end return redis.call('incr', 'n')", "0"},
	}
	rnd := rand.New(rand.NewPCG(2, 3))
	c := dial(t, addr)
	n := 0
	for range 20 {
		var send, want strings.Builder
		for range 50 {
			n++
			switch k := rnd.IntN(6); k {
			case 0, 1, 2:
				send.WriteString(proxytest.Command(increments[k]...))
				fmt.Fprintf(&want, ":%d\r\n", n)
			case 3:
				send.WriteString("MULTI\r\nINCR n\r\nEXEC\r\n")
				fmt.Fprintf(&want, "+OK\r\n+QUEUED\r\n*1\r\n:%d\r\n", n)
			case 4:
				send.WriteString("INCR n\r\nSELECT 1\r\nGET n\r\nSELECT 0\r\n")
				fmt.Fprintf(&want, ":%d\r\n+OK\r\n$-1\r\n+OK\r\n", n)
			case 5:
				send.WriteString("RPUSH l x\r\nBLPOP l 0\r\nLLEN l\r\nINCR n\r\n")
				fmt.Fprintf(&want, ":1\r\n*2\r\n$1\r\nl\r\n$1\r\nx\r\n:0\r\n:%d\r\n", n)
			}
		}
		c.send(send.String())
		c.expect(want.String())
	}
}

// No link serves two users, nor two passwords of one user.
func TestUsersShareNoLink(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "ann", "on", ">one", ">two", "~*", "+@all")
	srv.MustDo("ACL", "SETUSER", "bob", "on", ">one", "~*", "+@all", "-get")
	addr := serve(t, srv.Addr)
	logins := []string{"PING", "AUTH ann one", "AUTH ann two", "AUTH bob one"}
	var clients []*conn
	for _, login := range logins {
		for range 3 {
			c := dial(t, addr)
			c.do(login)
			c.do("SET k v")
			clients = append(clients, c)
		}
	}
	perUser := map[string]int{}
	list := srv.MustDo("CLIENT", "LIST").(string)
	for line := range strings.Lines(list) {
		if strings.Contains(line, "cmd=set") {
			_, rest, _ := strings.Cut(line, " user=")
			user, _, _ := strings.Cut(rest, " ")
			perUser[user]++
		}
	}
	if perUser["default"] != 1 || perUser["ann"] != 2 || perUser["bob"] != 1 {
		t.Errorf("links by user: %v; want one for each credential\n%s", perUser, list)
	}
	if got := clients[11].do("GET k"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("bob: got %q", got)
	}
	srv.MustDo("ACL", "SETUSER", "ann", "<one")
	if got := dial(t, addr).do("AUTH ann one"); !strings.HasPrefix(got, "-WRONGPASS") {
		t.Errorf("a password that was taken back: got %q", got)
	}
	srv.MustDo("ACL", "DELUSER", "bob")
	c := clients[11]
	c.send("PING\r\n")
	c.SetReadDeadline(time.Now().Add(proxytest.PollTimeout))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			break // the end, as without a proxy
		}
		if !strings.HasPrefix(line, "-") {
			t.Fatalf("a user that was deleted: got %q", line)
		}
	}
}
