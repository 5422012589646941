package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/certs"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
	"holdfast/proxy/recorder"
	"holdfast/proxy/upstream"
)

// wiretap is a relay that keeps what it carries, in both directions.
type wiretap struct {
	addr string

	mu   sync.Mutex
	seen bytes.Buffer // guarded by mu
}

func newWiretap(t testing.TB, target string) *wiretap {
	t.Helper()
	tap := &wiretap{}
	tap.addr = startRelay(t, target, func(p *local.Pair) { p.Pass(tap.keep, tap.keep) })
	return tap
}

// keep is a local.Filter.
func (r *wiretap) keep(p []byte) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Write(p)
	return p, true
}

// startRelay starts a relay to target and returns its address.
func startRelay(t testing.TB, target string, carry func(*local.Pair)) string {
	t.Helper()
	r, err := local.StartRelay(func() (net.Conn, error) { return net.Dial("tcp", target) }, carry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r.Addr
}

func (r *wiretap) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.seen.Bytes())
}

// upstream is the TLS of a proxy to its server.
func (k *keys) upstream(change ...func(o *certs.ClientOptions)) *certs.Client {
	k.t.Helper()
	cert, key := k.ca.Issue("proxy", proxytest.Identity{Name: "proxy"})
	o := certs.ClientOptions{CA: k.ca.CA, Cert: cert, Key: key}
	for _, f := range change {
		f(&o)
	}
	c, err := k.set.Client("upstream", o)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// With TLS on all sides nothing that is said can be read on the way: links of all kinds, the control
// connection, the journal's, the fences' and the console's.
func TestNothingInClear(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, driver func(*proxy.Options)) {
		k := newKeys(t)
		args, secure := k.ca.ServerArgs()
		const password = "the-password-itself"
		srv := proxytest.StartServer(t, append(args, "--requirepass", password)...)
		behind := newWiretap(t, secure)
		port, err := local.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		console := fmt.Sprintf("127.0.0.1:%d", port)
		addr := serve(t, behind.addr, driver, route(policy.Demand{Journal: true}), func(o *proxy.Options) {
			o.Upstream.TLS, o.Upstream.Password = k.upstream(), password
			o.Listeners[0].TLS = k.server(certs.ClientAuthRequire)
			o.Journal = recorder.Options{Dir: t.TempDir(), Mark: time.Second}
			o.AdminTLS, o.Admin.Address, o.Admin.Password = o.Listeners[0].TLS, console, password
		})
		front, operator := newWiretap(t, addr), newWiretap(t, console)
		config := k.client("app", "")
		c, sub := dialTLS(t, front.addr, config), dialTLS(t, front.addr, config)
		const secret = "4111-1111-1111-1111"
		for _, c := range []*conn{c, sub} {
			if got := c.do("AUTH " + password); got != "+OK\r\n" {
				t.Fatalf("got %q", got)
			}
		}
		if got := c.do("SET card:" + secret + " " + secret); got != "+OK\r\n" {
			t.Fatalf("got %q", got)
		}
		big := strings.Repeat(secret, 20_000)
		c.send("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$380000\r\n" + big + "\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n")
		c.expect("+OK\r\n$380000\r\n" + big + "\r\n")
		sub.send("SUBSCRIBE " + secret + "\r\n")
		sub.expect("*3\r\n$9\r\nsubscribe\r\n$19\r\n" + secret + "\r\n:1\r\n")
		c.do("PUBLISH " + secret + " " + secret)
		sub.expect("*3\r\n$7\r\nmessage\r\n$19\r\n" + secret + "\r\n$19\r\n" + secret + "\r\n")
		proxytest.Poll(t, "the journal follows by TLS", func() bool {
			return strings.Contains(srv.Info("replication")["slave0"], "state=online")
		})
		if got := c.do("SET pay:" + secret + " " + secret); got != "+OK\r\n" { // behind a fence
			t.Fatalf("got %q", got)
		}
		admin := dialTLS(t, operator.addr, config)
		for _, line := range []string{"AUTH " + password, "SHOW SESSIONS"} {
			if got := admin.do(line); strings.HasPrefix(got, "-") {
				t.Fatalf("the console: %q", got)
			}
		}
		front.expectUnreadable(t, "client and proxy", 700_000, secret, password, "SUBSCRIBE")
		behind.expectUnreadable(t, "proxy and server", 700_000, secret, password, "PSYNC", "INFO", "REPLCONF")
		operator.expectUnreadable(t, "operator and console", 1000, password, "SESSIONS")
	})
}

// expectUnreadable looks for texts in the captured bytes, of which there are at least that many.
func (r *wiretap) expectUnreadable(t *testing.T, between string, least int, texts ...string) {
	t.Helper()
	seen := r.bytes()
	if len(seen) < least {
		t.Errorf("between %s: %d bytes were seen", between, len(seen))
	}
	for _, text := range texts {
		if bytes.Contains(bytes.ToUpper(seen), []byte(strings.ToUpper(text))) {
			t.Errorf("between %s: %q can be read", between, text)
		}
	}
}

// behindTLS is the address of a relay that ends TLS before a plain server.
func (k *keys) behindTLS(target string) string {
	k.t.Helper()
	cert, key := k.ca.Issue("relay", proxytest.Identity{})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		k.t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	return startRelay(k.t, target, func(p *local.Pair) {
		(&local.Pair{Client: tls.Server(p.Client, config), Server: p.Server}).Pass(nil, nil)
	})
}

// Sentinels are asked by TLS, and followed.
func TestNothingInClearToSentinels(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	args, secure := k.ca.ServerArgs()
	proxytest.StartServer(t, args...)
	var all []*proxytest.FakeSentinel
	var taps []*wiretap
	var addresses []string
	for _, id := range []string{"id1", "id2", "id3"} {
		s := proxytest.StartFakeSentinel(t, id, secure)
		tap := newWiretap(t, k.behindTLS(s.Addr))
		s.Addr = tap.addr
		all, taps, addresses = append(all, s), append(taps, tap), append(addresses, tap.addr)
	}
	for i, s := range all {
		s.List(all[(i+1)%3], all[(i+2)%3])
	}
	addr := serve(t, "", bySentinels(addresses...), func(o *proxy.Options) {
		o.Upstream.TLS, o.Sentinels.TLS = k.upstream(), k.upstream()
	})
	proxytest.Poll(t, "the primary is found", func() bool { return dial(t, addr).do("PING") == "+PONG\r\n" })
	for _, tap := range taps {
		tap.expectUnreadable(t, "proxy and sentinel", 1000, "SENTINEL", proxytest.TrioName, secure)
	}
}

func TestTLSToTheServerThatFails(t *testing.T) {
	t.Parallel()
	k, other := newKeys(t), newKeys(t)
	args, secure := k.ca.ServerArgs()
	srv := proxytest.StartServer(t, args...)
	host := "localhost" + strings.TrimPrefix(secure, "127.0.0.1")
	for _, tt := range []struct {
		name, address string
		tls           *certs.Client
		want          string // empty: it succeeds
	}{
		{"as it should be", secure, k.upstream(), ""},
		{"by name", host, k.upstream(), ""},
		{"wrong authority", secure, k.upstream(func(o *certs.ClientOptions) { o.CA = other.ca.CA }),
			"name the authority that signed it in tls.ca"},
		{"wrong name", secure, k.upstream(func(o *certs.ClientOptions) { o.ServerName = "db.example.com" }),
			"tls.server_name"},
		{"no certificate", secure, k.upstream(func(o *certs.ClientOptions) { o.Cert, o.Key = "", "" }),
			""},
		{"a plain port", srv.Addr, k.upstream(), "may speak no TLS"},
	} {
		o := upstream.Options{Address: tt.address, TLS: tt.tls, Logger: slog.New(slog.DiscardHandler)}
		if tt.address == srv.Addr {
			o.ConnectTimeout = 50 * time.Millisecond // the server says nothing
		}
		u := upstream.New(o)
		info, err := u.Probe(context.Background())
		switch {
		case tt.name == "no certificate": // the server resets before its alert can be read
			if err == nil {
				t.Errorf("%s: it succeeds", tt.name)
			}
		case tt.want == "" && (err != nil || !info.Up),
			tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		u.Stop()
	}
}

// The server's side of links may be TLS while clients are plain, and links that break are answered.
func TestTLSLinkBreaks(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	args, secure := k.ca.ServerArgs()
	srv := proxytest.StartServer(t, args...)
	addr := serve(t, secure, func(o *proxy.Options) { o.Upstream.TLS = k.upstream() })
	c := dial(t, addr)
	if got := c.do("SET k v"); got != "+OK\r\n" {
		t.Fatalf("got %q", got)
	}
	c.send("BLPOP nothing 0\r\n")
	proxytest.Poll(t, "blocked", func() bool { return srv.Info("clients")["blocked_clients"] == "1" })
	srv.Kill()
	if got := c.reply(); !strings.HasPrefix(got, "-UPSTREAM ") {
		t.Errorf("got %q", got)
	}
	srv.Restart()
	proxytest.Poll(t, "back", func() bool { return dial(t, addr).do("PING") == "+PONG\r\n" })
}
