package takeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/journal"
	"holdfast/proxy/proxytest"
)

// A stage is an old process and its sockets; both processes of a test are this one.
type stage struct {
	t     *testing.T
	name  string
	dir   string // of unix sockets, and the journal
	old   *Sockets
	offer *Offer
	lns   []net.Listener // the old process's
	calls atomic.Value   // the last one: "asked" or "taken"
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newStage listens on a TCP address and a unix socket, and opens an Offer.
func newStage(t *testing.T, change ...func(*Offer)) *stage {
	t.Helper()
	dir := proxytest.ShortDir(t)
	s := &stage{t: t, dir: dir, name: Name(filepath.Join(dir, "config")), old: &Sockets{}}
	for _, address := range []string{"127.0.0.1:0", s.path()} {
		s.lns = append(s.lns, s.listen(s.old, address))
	}
	s.offer = NewOffer(OfferOptions{Name: s.name, Sockets: s.old, Version: "old", Log: quiet(), Record: &Record{},
		Asked: func(pid int) { s.calls.Store(fmt.Sprint("asked ", pid)) },
		Taken: func(pid int) { s.calls.Store(fmt.Sprint("taken ", pid)) }})
	for _, f := range change {
		f(s.offer)
	}
	if err := s.offer.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.offer.Settle(t.Context()) })
	return s
}

// found is the socket of the old process.
func (s *stage) found() string {
	s.t.Helper()
	all := candidates(s.name)
	if len(all) != 2 {
		s.t.Fatalf("the sockets of this name: %q", all)
	}
	return all[1]
}

func (s *stage) path() string { return "unix:" + s.dir + "/s" }

func (s *stage) addresses() []string { return []string{"127.0.0.1:0", s.path()} }

func (s *stage) listen(sockets *Sockets, address string) net.Listener {
	s.t.Helper()
	ln, err := sockets.Listen(address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { ln.Close() })
	return ln
}

// claim is a new process that has found the old one.
func (s *stage) claim() *Claim {
	s.t.Helper()
	c := NewClaim(ClaimOptions{Name: s.name, Sockets: &Sockets{}, Version: "new", Log: quiet(), Journal: s.dir})
	if found, err := c.Find(); !found || err != nil {
		s.t.Fatalf("found %v, %v", found, err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// taking begins a Take.
func (s *stage) taking(c *Claim, addresses ...string) <-chan error {
	done := make(chan error, 1)
	if len(addresses) == 0 {
		addresses = s.addresses()
	}
	go func() { done <- c.Take(s.t.Context(), addresses) }()
	return done
}

// drain is the old process's end up to Released.
func (s *stage) drain() {
	s.t.Helper()
	<-s.offer.Asked()
	if !s.offer.Begin(time.Second) {
		s.t.Fatal("no process takes over")
	}
	for _, ln := range s.lns {
		ln.Close()
	}
	s.offer.Released()
}

// take is a Take that succeeds.
func (s *stage) take(c *Claim) {
	s.t.Helper()
	done := s.taking(c)
	s.drain()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// call connects to both addresses and says something.
func (s *stage) call(text string) {
	s.t.Helper()
	for _, ln := range s.lns {
		nc, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			s.t.Fatalf("refused: %v", err)
		}
		s.t.Cleanup(func() { nc.Close() })
		if _, err := io.WriteString(nc, text); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hear accepts on both addresses what call has said.
func (s *stage) hear(lns []net.Listener, want string) {
	s.t.Helper()
	for _, ln := range lns {
		nc, err := ln.Accept()
		if err != nil {
			s.t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != want {
			s.t.Errorf("%s: got %q, %v", ln.Addr(), got, err)
		}
		nc.Close()
	}
}

// both listens on the two addresses.
func (s *stage) both(sockets *Sockets) (out []net.Listener) {
	s.t.Helper()
	for _, address := range s.addresses() {
		out = append(out, s.listen(sockets, address))
	}
	return out
}

func (s *stage) hasFile() bool {
	_, err := os.Stat(s.dir + "/s")
	return err == nil
}

// A client that comes while neither accepts waits in the queue and is served by the new process.
func TestTakeover(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	s.take(c)
	s.call("in between")
	lns := s.both(c.opts.Sockets)
	if got := s.calls.Load(); got != fmt.Sprint("asked ", os.Getpid()) {
		t.Errorf("before the new process serves: %v", got)
	}
	if err := c.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.offer.Settle(t.Context()) {
		t.Error("the old process would serve again")
	}
	s.hear(lns, "in between")
	s.call("after")
	s.hear(lns, "after")
	if got := s.calls.Load(); got != fmt.Sprint("taken ", os.Getpid()) {
		t.Errorf("afterwards: %v", got)
	}
	if lns[1].Close(); s.hasFile() {
		t.Error("the file of the unix socket outlives its last owner")
	}
}

// The next process takes over from the one that took over.
func TestTakeoverOfATakeover(t *testing.T) {
	s := newStage(t)
	for range 3 {
		c := s.claim()
		s.take(c)
		lns := s.both(c.opts.Sockets)
		if err := c.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.offer.Settle(t.Context())
		s.old, s.lns = c.opts.Sockets, lns
		s.offer = NewOffer(s.offer.opts)
		s.offer.opts.Sockets = s.old
		if err := s.offer.Open(); err != nil {
			t.Fatal(err)
		}
	}
	s.call("still")
	s.hear(s.lns, "still")
	s.offer.Settle(t.Context())
}

// A new process that ends before it serves leaves everything to the old one, and no client is refused.
func TestNewProcessFails(t *testing.T) {
	for name, fails := range map[string]func(s *stage, c *Claim){
		"at once": func(*stage, *Claim) {},
		"with listeners": func(s *stage, c *Claim) {
			for _, ln := range s.both(c.opts.Sockets) {
				ln.Close()
			}
		},
		"with one listener": func(s *stage, c *Claim) { s.listen(c.opts.Sockets, s.path()).Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			c := s.claim()
			s.take(c)
			s.call("in between")
			fails(s, c)
			c.Close()
			if s.offer.Settle(t.Context()) {
				t.Fatal("the old process believes that it has a successor")
			}
			if !s.hasFile() {
				t.Fatal("the file of the unix socket is gone")
			}
			lns := s.both(s.old)
			s.hear(lns, "in between")
			s.lns = lns
			s.call("after")
			s.hear(lns, "after")
			if lns[1].Close(); s.hasFile() {
				t.Error("the file of the unix socket outlives its owner")
			}
		})
	}
}

// Who serves again by a newer configuration closes the sockets that it does not have: no client waits at them.
func TestServesAgainWithFewerAddresses(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	s.take(c)
	c.Close()
	if s.offer.Settle(t.Context()) {
		t.Fatal("the old process believes that it has a successor")
	}
	ln := s.listen(s.old, "127.0.0.1:0")
	s.old.Own(quiet())
	if s.hasFile() {
		t.Error("the socket that is not configured any more is still there")
	}
	s.lns = s.lns[:1]
	s.call("again")
	s.hear([]net.Listener{ln}, "again")
}

// A new process that takes too long hears so, and does not serve beside the old one.
func TestNewProcessIsTooSlow(t *testing.T) {
	s := newStage(t, func(o *Offer) { o.patience = time.Millisecond })
	c := s.claim()
	s.take(c)
	if s.offer.Settle(t.Context()) {
		t.Fatal("the old process waited")
	}
	var r *Refusal
	if err := c.Confirm(t.Context()); !errors.As(err, &r) {
		t.Errorf("the new process hears %v", err)
	}
}

// An old process that stands still is not dead: it may serve again when it goes on. The new one waits for its verdict,
// its death, or its own end.
func TestOldProcessStandsStill(t *testing.T) {
	var refusal *Refusal
	for name, row := range map[string]struct {
		then func(old channel, cancel func())
		good func(error) bool
	}{
		"it refuses":   {func(old channel, _ func()) { old.refuse("too late") }, func(err error) bool { return errors.As(err, &refusal) }},
		"it agrees":    {func(old channel, _ func()) { _ = old.send(packet{Yours: true}) }, func(err error) bool { return err == nil }},
		"it dies":      {func(old channel, _ func()) { old.conn.Close() }, func(err error) bool { return err == nil }},
		"the new ends": {func(_ channel, cancel func()) { cancel() }, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(name, func(t *testing.T) {
			at := Name(filepath.Join(t.TempDir(), "config"))
			ln, err := listen(at)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			var log proxytest.Log
			c := NewClaim(ClaimOptions{Name: at, Sockets: &Sockets{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if found, err := c.Find(); !found || err != nil {
				t.Fatalf("found %v, %v", found, err)
			}
			defer c.Close()
			conn, err := ln.AcceptUnix()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c.went, c.patience = true, time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- c.Confirm(ctx) }()
			proxytest.Poll(t, "the silence is noticed", func() bool { return strings.Contains(log.String(), "does not answer") })
			if _, _, err := (channel{conn}).receive(time.Time{}); err != nil {
				t.Fatal(err)
			}
			row.then(channel{conn}, cancel)
			if err := <-done; !row.good(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Up to "go" nothing changes: an address that cannot be bound leaves the old process as it was.
func TestNewAddressCannotBeBound(t *testing.T) {
	s := newStage(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c := s.claim()
	err = <-s.taking(c, "127.0.0.1:0", other.Addr().String())
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("got %v", err)
	}
	c.Close()
	if !s.hasFile() {
		t.Error("the file of the unix socket is gone")
	}
	s.call("as before")
	s.hear(s.lns, "as before")
	s.take(s.claim()) // and another one can
}

// The addresses of the new configuration count: a new one is opened, one that is gone is closed.
func TestOtherAddresses(t *testing.T) {
	s := newStage(t)
	more := "unix:" + s.dir + "/more"
	c := s.claim()
	done := s.taking(c, "127.0.0.1:0", more)
	s.drain()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.listen(c.opts.Sockets, "127.0.0.1:0")
	s.listen(c.opts.Sockets, more)
	if err := c.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.hasFile() {
		t.Error("the socket that is not configured any more is still there")
	}
	if _, err := os.Stat(s.dir + "/more"); err != nil {
		t.Error(err)
	}
}

// An old process that dies after "go" has released its sockets, and the kernel its journal's lock. The new one waits
// for that.
func TestOldProcessDies(t *testing.T) {
	for _, locked := range []bool{true, false} {
		s := newStage(t)
		j, err := journal.Open(journal.Options{Dir: s.dir, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		var log proxytest.Log
		c := s.claim()
		c.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- c.Take(ctx, s.addresses()) }()
		<-s.offer.Asked()
		s.offer.Begin(time.Second)
		s.call("in between")
		s.offer.hangUp()
		proxytest.Poll(t, "the death is noticed", func() bool { return strings.Contains(log.String(), "has ended") })
		if locked {
			cancel()
		} else if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; (err != nil) != locked {
			t.Fatalf("locked %v: %v", locked, err)
		}
		if !locked {
			s.expectServed(c)
		} else if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// expectServed has the new process answer the client that said "in between".
func (s *stage) expectServed(c *Claim) {
	s.t.Helper()
	for _, ln := range s.lns {
		ln.Close()
	}
	lns := s.both(c.opts.Sockets)
	if err := c.Confirm(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.hear(lns, "in between")
}

// The question about the upstream hands nothing over, and can be asked again.
func TestUpstream(t *testing.T) {
	s := newStage(t, func(o *Offer) { o.Knows(func() []byte { return []byte("known") }) })
	for range 2 {
		c := NewClaim(ClaimOptions{Name: s.name, Log: quiet(), Journal: s.dir})
		if got, err := c.Upstream(); string(got) != "known" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if n := s.offer.opts.Record.Counts(); len(n) > 0 {
		t.Errorf("counted: %v", n)
	}
	s.take(s.claim())
	for _, c := range []*Claim{nil, NewClaim(ClaimOptions{Name: Name(s.dir + "/none"), Log: quiet()})} {
		if got, err := c.Upstream(); got != nil || err != nil {
			t.Errorf("from none: %q, %v", got, err)
		}
	}
}

// The first of two that come at once takes over. The other one changes nothing.
func TestTwoAtOnce(t *testing.T) {
	s := newStage(t)
	first, second := s.claim(), s.claim()
	s.take(first)
	if err := <-s.taking(second); !errors.Is(err, ErrGone) {
		t.Fatalf("the second one: %v", err)
	}
	second.Close()
	lns := s.both(first.opts.Sockets)
	if err := first.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.call("hello")
	s.hear(lns, "hello")
}

// A process that has begun to end by itself hands nothing over.
func TestOldProcessEnds(t *testing.T) {
	s := newStage(t)
	c := s.claim()
	if s.offer.Begin(time.Second) {
		t.Fatal("a process took over")
	}
	if err := <-s.taking(c); err == nil {
		t.Error("it took over from a process that ends")
	}
	if !s.offer.Settle(t.Context()) {
		t.Error("a process that ends would serve again")
	}
	if found, err := NewClaim(ClaimOptions{Name: s.name}).Find(); found || err != nil {
		t.Errorf("it is still to be found: %v, %v", found, err)
	}
}

func TestRefusals(t *testing.T) {
	other := os.Getuid() + 1
	for _, row := range []struct {
		want   string
		change func(*Offer)
		hello  hello
	}{
		{"speaks version 1 of the handover, new speaks 2: restart it", func(*Offer) {}, hello{2, "new"}},
		{"replace the container", func(o *Offer) { o.own = 1 }, hello{protocol, "new"}},
		{"send it SIGUSR2", func(o *Offer) {
			o.opts.Supervised = true
			o.peer = func(*net.UnixConn) (int, int, error) { return -1, os.Getuid(), nil }
		}, hello{protocol, "new"}},
		{"runs as user", func(o *Offer) {
			o.peer = func(*net.UnixConn) (int, int, error) { return os.Getpid(), other, nil }
		}, hello{protocol, "new"}},
	} {
		s := newStage(t, row.change)
		conn, err := dial(s.found())
		if err != nil {
			t.Fatal(err)
		}
		c := channel{conn}
		_ = c.send(packet{Hello: &row.hello}) // it may have been refused already
		_, files, err := c.receive(time.Now().Add(time.Minute))
		var r *Refusal
		if !errors.As(err, &r) || !strings.Contains(r.Text, row.want) || files != nil {
			t.Errorf("%s: got %v, %d descriptors", row.want, err, len(files))
		}
		conn.Close()
		s.call("as before")
		s.hear(s.lns, "as before")
	}
}

// Nonsense costs the old process nothing.
func TestNonsense(t *testing.T) {
	s := newStage(t)
	for _, text := range []string{"", "nonsense", `{"go":true}`, `{"hello":{"protocol":1}}`, `{"serving":true}`, "null"} {
		conn, err := dial(s.found())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	s.take(s.claim())
}

// A user who takes the name, or pretends to be an old process, does not keep this user's processes from each other.
func TestNameIsTaken(t *testing.T) {
	name := Name(filepath.Join(t.TempDir(), "config"))
	for _, taken := range []string{name, name + "-AAAA", name + "-zzzz"} {
		ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: taken, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		ln.Close() // as at the address of a process that has gone
		stream, err := net.ListenUnix("unix", &net.UnixAddr{Name: taken, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
	}
	ln, err := listen(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if again, err := listen(name); err != nil {
		t.Errorf("the next process: %v", err)
	} else {
		again.Close()
	}
	c := NewClaim(ClaimOptions{Name: name, Sockets: &Sockets{}, Log: quiet()})
	if found, err := c.Find(); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	c.Close()
}

func TestNobodyThere(t *testing.T) {
	c := NewClaim(ClaimOptions{Name: Name(filepath.Join(t.TempDir(), "x")), Sockets: &Sockets{}})
	if found, err := c.Find(); found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if err := c.Confirm(t.Context()); err != nil {
		t.Error(err)
	}
	c.Close()
}

// A process without an Offer and without a Claim starts and ends as any other.
func TestNil(t *testing.T) {
	var o *Offer
	var c *Claim
	var s *Sockets
	if o.Asked() != nil || o.Begin(time.Second) {
		t.Error("a nil Offer is asked")
	}
	o.Released()
	if !o.Settle(t.Context()) {
		t.Error("a nil Offer was taken over")
	}
	if found, err := c.Find(); found || err != nil || c.Confirm(t.Context()) != nil {
		t.Error("a nil Claim finds a process")
	}
	c.Close()
	ln, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

// The same file has one name by every path, and another one in another folder.
func TestName(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	link := filepath.Join(b, "link")
	if err := os.Symlink(a, link); err != nil {
		t.Fatal(err)
	}
	if Name(filepath.Join(a, "c")) != Name(filepath.Join(link, "c")) {
		t.Error("another name by another path")
	}
	one := Name(filepath.Join(a, "c"))
	if one == Name(filepath.Join(b, "c")) || one == Name(filepath.Join(a, "d")) {
		t.Error("one name for two files")
	}
}
