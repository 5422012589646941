package proxy_test

import (
	"bufio"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/certs"
	"holdfast/proxy/proxytest"
)

// keys are the certificates of a test.
type keys struct {
	t   testing.TB
	ca  *proxytest.Authority
	set *certs.Set
}

func newKeys(t testing.TB) *keys {
	return &keys{t, proxytest.NewAuthority(t), certs.NewSet(slog.New(slog.DiscardHandler), nil)}
}

// server is the TLS of a listener that asks for certificates of the same authority.
func (k *keys) server(auth certs.ClientAuth) *certs.Server {
	k.t.Helper()
	cert, key := k.ca.Issue("server", proxytest.Identity{})
	s, err := k.set.Server("listener", certs.ServerOptions{
		Cert: cert, Key: key, ClientCA: k.ca.CA, ClientAuth: auth,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// client is the other side's; without a name it shows no certificate.
func (k *keys) client(name, uri string) *tls.Config {
	k.t.Helper()
	o := certs.ClientOptions{CA: k.ca.CA, ServerName: "localhost"}
	if name != "" {
		o.Cert, o.Key = k.ca.Issue("client-"+name, proxytest.Identity{Name: name, URI: uri})
	}
	c, err := k.set.Client(name+uri, o)
	if err != nil {
		k.t.Fatal(err)
	}
	return c.Config("tcp", "localhost:1")
}

// dialTLS is dial by TLS.
func dialTLS(t testing.TB, addr string, config *tls.Config) *conn {
	t.Helper()
	nc, err := tls.DialWithDialer(&net.Dialer{Timeout: proxytest.PollTimeout}, "tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &conn{nc, t, bufio.NewReader(nc)}
}

// onDrivers runs a test on both drivers.
func onDrivers(t *testing.T, f func(t *testing.T, driver func(*proxy.Options))) {
	for _, name := range []string{"", "portable"} {
		t.Run("driver "+name, func(t *testing.T) {
			f(t, func(o *proxy.Options) { o.Driver = name })
		})
	}
}

func TestTLSListener(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	onDrivers(t, func(t *testing.T, driver func(*proxy.Options)) {
		k := newKeys(t)
		addr := serve(t, srv.Addr, driver, func(o *proxy.Options) {
			o.Listeners[0].TLS = k.server(certs.ClientAuthNone)
		})
		c := dialTLS(t, addr, k.client("", ""))
		if got := c.do("PING"); got != "+PONG\r\n" {
			t.Errorf("got %q", got)
		}
		// Values of several records, both ways, and pipelines.
		big := strings.Repeat("v", 100_000)
		var set, want strings.Builder
		for range 50 {
			set.WriteString("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n" + big + "\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
			want.WriteString("+OK\r\n$100000\r\n" + big + "\r\n")
		}
		var all sync.WaitGroup
		all.Go(func() { c.send(set.String()) })
		c.expect(want.String())
		all.Wait()
		// A subscriber and a blocking command, whose links are their own.
		sub := dialTLS(t, addr, k.client("", ""))
		sub.send("SUBSCRIBE ch\r\n")
		sub.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
		blocked := dialTLS(t, addr, k.client("", ""))
		blocked.send("BLPOP list 0\r\n")
		proxytest.Poll(t, "blocked", func() bool { return strings.Contains(c.do("INFO clients"), "blocked_clients:1") })
		if got := c.do("PUBLISH ch hello"); got != ":1\r\n" {
			t.Errorf("got %q", got)
		}
		sub.expect("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$5\r\nhello\r\n")
		c.do("RPUSH list x")
		blocked.expect("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
		if got := c.do("QUIT"); got != "+OK\r\n" {
			t.Errorf("got %q", got)
		}
		c.expectEOF()
	})
}

func TestTLSListenerWithClientCertificates(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	k := newKeys(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Listeners[0].TLS = k.server(certs.ClientAuthRequire)
	})
	if got := dialTLS(t, addr, k.client("app", "")).do("PING"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
	nc, err := tls.Dial("tcp", addr, k.client("", ""))
	if err == nil {
		_, err = nc.Read(make([]byte, 1))
		nc.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
}

// A client that speaks the wrong of the two is closed at once, and the log says why, once.
func TestPlainAndTLSMixedUp(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	k := newKeys(t)
	var log proxytest.Log
	_, p := serveServer(t, srv.Addr, func(o *proxy.Options) {
		o.Listeners = []proxy.Listener{
			{Address: "127.0.0.1:0", Name: "secure", TLS: k.server(certs.ClientAuthNone)},
			{Address: "127.0.0.1:0", Name: "plain"},
		}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	secure, plain := p.Addrs()[0].String(), p.Addrs()[1].String()
	for range 2 {
		c := dial(t, secure)
		c.send("*1\r\n$4\r\nPING\r\n")
		c.expectEOF()
		if _, err := tls.DialWithDialer(&net.Dialer{Timeout: proxytest.PollTimeout}, "tcp", plain, k.client("", "")); err == nil {
			t.Error("a handshake on the plain listener")
		}
	}
	for _, text := range []string{"a client that speaks no TLS connected to a TLS listener\" listener=secure",
		"a client that speaks TLS connected to a listener that does not\" listener=plain"} {
		if n := log.Count(text); n != 1 {
			t.Errorf("%q is in the log %d times", text, n)
		}
	}
	if got := dial(t, plain).do("PING"); got != "+PONG\r\n" {
		t.Errorf("got %q", got)
	}
}

// Certificates that are replaced while clients come and go: none is turned away.
func TestCertificateReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	k := newKeys(t)
	addr := serve(t, srv.Addr, func(o *proxy.Options) {
		o.Listeners[0].TLS = k.server(certs.ClientAuthNone)
	})
	config := k.client("", "")
	stay := dialTLS(t, addr, config)
	serials := map[string]bool{}
	for range 20 {
		k.ca.Issue("server", proxytest.Identity{})
		if err := k.set.Check(); err != nil {
			t.Fatal(err)
		}
		c := dialTLS(t, addr, config)
		serials[c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
		for _, c := range []*conn{c, stay} {
			if got := c.do("PING"); got != "+PONG\r\n" {
				t.Fatalf("got %q", got)
			}
		}
		c.Close()
	}
	if len(serials) != 20 {
		t.Errorf("%d certificates were seen", len(serials))
	}
}

// Behind a balancer, rules and CLIENT LIST see the client that the header names.
func TestClientsBehindABalancer(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	onDrivers(t, func(t *testing.T, driver func(*proxy.Options)) {
		k := newKeys(t)
		addr := serve(t, srv.Addr, driver, func(o *proxy.Options) {
			o.Listeners[0].TLS = k.server(certs.ClientAuthNone)
			o.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			o.Rules = []policy.RuleSpec{{Name: "far", Action: "deny", Commands: []string{"keys"},
				Addresses: []string{"203.0.113.0/24"}}}
		})
		config := k.client("", "")
		for _, tt := range []struct{ from, keys string }{
			{"203.0.113.7", "-DENIED"},
			{"198.51.100.7", "*0"},
		} {
			nc := dial(t, addr)
			nc.send("PROXY TCP4 " + tt.from + " 10.0.0.5 4321 6379\r\n")
			secure := tls.Client(nc.Conn, config)
			c := &conn{secure, t, bufio.NewReader(secure)}
			if got := c.do("KEYS nothing*"); !strings.HasPrefix(got, tt.keys) {
				t.Errorf("%s: KEYS: %q", tt.from, got)
			}
			if got := c.do("CLIENT LIST"); !strings.Contains(got, " addr="+tt.from+":4321 ") {
				t.Errorf("%s is not in CLIENT LIST:\n%s", tt.from, got)
			}
		}
	})
}
