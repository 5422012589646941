package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/proxy/proxytest/local"
)

// target is the attacked server or proxy.
type target struct {
	addr     string
	console  string // "": none
	password string // of the server's user default; "": none
	ca       string // of the authority of addr's certificate; "": it is plain
}

// attack is one kind of bad behaviour. Its clients end with ctx.
type attack struct {
	name string
	what string // for the table
	// locked: the server has a password, which the well-behaved clients know.
	locked bool
	// proxyOnly: the server has no such target.
	proxyOnly bool
	// stall: connections to the server stop in the middle of a reply.
	stall bool
	// secured: the attack is on a TLS port, where the well-behaved clients are, too.
	secured bool
	clients int
	// client is the behaviour of one client, which is repeated.
	client func(ctx context.Context, to target, i int) error
}

const (
	// heavySize is the size of the value of the key heavy, and scriptSize that of a script, in bytes.
	heavySize  = 20 << 10
	scriptSize = 200 << 10
	// password is that of locked servers.
	password = "right"
)

var attacks = []attack{
	{name: "slow-readers", what: "40 clients ask for values of 20 kB, 128 at a time, and never read",
		clients: 40, client: neverRead},
	{name: "passwords", what: "20 clients log in with invented passwords, each followed by GET",
		clients: 20, client: inventPasswords},
	{name: "pairs", what: "for comparison: 20 clients send two GETs instead, as fast as they are answered",
		clients: 20, client: pairs},
	{name: "strangers", what: "50 clients without a login send commands as fast as they can", locked: true,
		clients: 50, client: flood},
	{name: "guessers", what: "20 clients guess passwords, with a connection for each", locked: true,
		clients: 20, client: guess},
	{name: "pins", what: "2,000 clients open a transaction, block or subscribe, and stay",
		clients: 2000, client: occupy},
	{name: "half-replies", what: "20 clients ask for what makes a connection to the server stop in a reply",
		stall: true, clients: 20, client: poison},
	{name: "console", what: "300 connections to the console that come again at once, and 20 that guess its password",
		proxyOnly: true, clients: 320, client: console},
	{name: "scripts", what: "6 clients send 10 unseen scripts of 200 kB each, every 5 s",
		clients: 6, client: sendScripts},
	{name: "census", what: "20 clients send CLIENT LIST and CLIENT KILL beside 1,000 idle ones",
		clients: 1020, client: lists},
	{name: "handshakes", what: "1,000 TLS handshakes a second, each with a PING", secured: true,
		clients: handshakers, client: shake},
	{name: "half-handshakes", what: "10,000 clients begin a TLS handshake and never end it", secured: true,
		clients: 10_000, client: beginShake},
}

// attackUntilEOF attacks until in ends: the measuring program closes it or has died.
func attackUntilEOF(ctx context.Context, name string, to target, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lowerPriority()
	for _, a := range attacks {
		if a.name != name {
			continue
		}
		var all sync.WaitGroup
		for i := range a.clients {
			all.Go(func() {
				for ctx.Err() == nil {
					if a.client(ctx, to, i) != nil { // refused or cut off, perhaps rightly
						pause(ctx, 10*time.Millisecond)
					}
				}
			})
		}
		fmt.Fprintln(out, "attacking")
		begun := time.Now()
		_, err := io.Copy(io.Discard, in)
		if n := shaken.Load(); n > 0 {
			fmt.Fprintf(out, "%.0f handshakes/s\n", float64(n)/time.Since(begun).Seconds())
		}
		cancel()
		all.Wait()
		return err
	}
	return fmt.Errorf("no attack is called %q", name)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// connect opens a connection that ends with ctx.
func connect(ctx context.Context, addr string) (net.Conn, func(), error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return c, func() { stop(); c.Close() }, nil
}

// command is a request as bytes.
func command(args ...string) string { return string(local.AppendCommand(nil, args...)) }

// talk sends requests and reads that many lines.
func talk(ctx context.Context, addr string, lines int, requests string) error {
	c, end, err := connect(ctx, addr)
	if err != nil {
		return err
	}
	defer end()
	return say(c, bufio.NewReader(c), lines, requests)
}

func say(c net.Conn, r *bufio.Reader, lines int, requests string) error {
	if _, err := io.WriteString(c, requests); err != nil {
		return err
	}
	for range lines {
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}

func neverRead(ctx context.Context, to target, _ int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	if _, err := io.WriteString(c, strings.Repeat(command("GET", "heavy"), 128)); err != nil {
		return err
	}
	pause(ctx, time.Second) // and again on a new connection
	return nil
}

var invented atomic.Int64

func inventPasswords(ctx context.Context, to target, _ int) error {
	return ahead(ctx, to, func() string { return command("AUTH", "default", fmt.Sprint(invented.Add(1))) })
}

// pairs is inventPasswords without a login.
func pairs(ctx context.Context, to target, _ int) error {
	return ahead(ctx, to, func() string { return command("GET", "none") })
}

// ahead sends a hundred GETs, each with a command ahead of it.
func ahead(ctx context.Context, to target, next func() string) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	r := bufio.NewReader(c)
	for range 100 {
		if err := say(c, r, 2, next()+command("GET", "none")); err != nil {
			return err
		}
	}
	return nil
}

func flood(ctx context.Context, to target, _ int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	go io.Copy(io.Discard, c)
	batch := strings.Repeat(command("GET", "calm"), 32)
	for {
		if _, err := io.WriteString(c, batch); err != nil {
			return err
		}
	}
}

func guess(ctx context.Context, to target, _ int) error {
	return talk(ctx, to.addr, 1, command("AUTH", fmt.Sprint(invented.Add(1))))
}

func occupy(ctx context.Context, to target, i int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	ways := []string{command("MULTI"), command("BLPOP", "nothing", "0"), command("SUBSCRIBE", "ch"), command("WATCH", "k")}
	if _, err := io.WriteString(c, ways[i%len(ways)]); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

func poison(ctx context.Context, to target, _ int) error {
	return talk(ctx, to.addr, 1, command("GET", "poison"))
}

func console(ctx context.Context, to target, i int) error {
	if i < 300 {
		c, end, err := connect(ctx, to.console)
		if err != nil {
			return err
		}
		defer end()
		_, err = io.Copy(io.Discard, c)
		return err
	}
	return talk(ctx, to.console, 1, command("AUTH", fmt.Sprint(invented.Add(1))))
}

func sendScripts(ctx context.Context, to target, _ int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	r := bufio.NewReader(c)
	line := "do local a = redis.call('get', KEYS[1]) if a then return a end end\n"
	for range 10 {
		src := fmt.Sprintf("-- %d\n", invented.Add(1)) + strings.Repeat(line, scriptSize/len(line)) + "return 1"
		if err := say(c, r, 1, command("EVAL", src, "1", "none")); err != nil {
			return err
		}
	}
	pause(ctx, 5*time.Second)
	return nil
}

func lists(ctx context.Context, to target, i int) error {
	c, end, err := connect(ctx, to.addr)
	if err != nil {
		return err
	}
	defer end()
	if i >= 20 {
		if _, err := io.WriteString(c, command("PING")); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, c)
		return err
	}
	r := bufio.NewReader(c)
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, command("CLIENT", "LIST")+command("CLIENT", "KILL", "ID", "999999999")); err != nil {
			return err
		}
		for line := ""; !strings.HasPrefix(line, ":"); { // KILL's reply
			if line, err = r.ReadString('\n'); err != nil {
				return err
			}
		}
	}
	return nil
}
