package proxy_test

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/certs"
	"holdfast/proxy/proxytest"
)

// newCertified is newVouching with a server that reads certificates itself, and users without
// passwords there, for whom the proxy shows certificates.
func newCertified(t *testing.T, from string, users []string, change ...func(*proxy.Options)) *vouching {
	t.Helper()
	v := &vouching{keys: newKeys(t), users: certs.NewSet(slog.New(slog.DiscardHandler), nil)}
	secured, address := v.ca.ServerArgs()
	args := append(secured, "--tls-auth-clients-user", from, "--user", "control", "on", ">control", "~*", "&*", "+@all")
	for _, name := range users {
		args = append(args, "--user", name, "on", "~"+name+":*", "&*", "+@all")
		v.show(name, v.ca)
	}
	v.srv = proxytest.Spec{Kind: "valkey9", Args: args}.Start(t)
	v.admin = dial(t, v.srv.Addr)
	secure := func(o *proxy.Options) { o.Upstream.TLS = v.upstream() }
	v.serve(address, certs.UserFromCN, append([]func(*proxy.Options){secure}, change...)...)
	return v
}

// show adds a user with a certificate of an authority.
func (v *vouching) show(name string, of *proxytest.Authority) {
	v.t.Helper()
	cert, key := v.reissue(name, of)
	if err := v.users.User(certs.UserOptions{Name: name, Cert: cert, Key: key}); err != nil {
		v.t.Fatal(err)
	}
}

// reissue writes the files of a user's certificate.
func (v *vouching) reissue(name string, of *proxytest.Authority) (cert, key string) {
	id := proxytest.Identity{Name: name}
	if strings.Contains(name, "://") {
		id = proxytest.Identity{Name: "link", URI: name}
	}
	return of.Issue("user-"+url.PathEscape(name), id)
}

func TestUserByCertificateUpstream(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, driver func(*proxy.Options)) {
		v := newCertified(t, "CN", []string{"app", "batch"}, driver, func(o *proxy.Options) {
			o.Rules = []policy.RuleSpec{{Name: "app", Action: "deny", Commands: []string{"keys"}, Users: []string{"app"}}}
		})
		v.admin.want("ACL SETUSER default off", "+OK")
		v.admin.want("ACL SETUSER other on >pass ~* &* +@all", "+OK")
		v.admin.want("ACL SETUSER batch -acl", "+OK") // the server's refusal of ACL WHOAMI names it
		c, b := v.as("app"), v.as("batch")
		c.send("GET app:k\r\nACL WHOAMI\r\nKEYS *\r\nGET batch:k\r\n")
		c.expect("$1\r\nv\r\n$3\r\napp\r\n")
		for _, want := range []string{"-DENIED 'keys' is refused by rule 'app'", "-NOPERM"} {
			if got := c.reply(); !strings.HasPrefix(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		b.want("SET batch:k v", "+OK")
		b.want("SET app:k v", "-NOPERM")
		if got := v.admin.do("CLIENT LIST"); !strings.Contains(got, " user=app ") || !strings.Contains(got, " user=batch ") {
			t.Errorf("the server's clients: %q", got)
		}
		// Other databases and protocol versions, transactions, blocking commands and subscriptions.
		c.want("SELECT 3", "+OK")
		c.want("MULTI", "+OK")
		c.want("ACL WHOAMI", "+QUEUED")
		c.want("EXEC", "*1\r\n$3\r\napp\r\n")
		c.want("BLPOP app:list 0.001", "*-1")
		c.want("HELLO 3", "%")
		c.want("SUBSCRIBE ch", ">3")
		c.want("ACL WHOAMI", "$3\r\napp")
		// The user changes by the server's rules; its own has no password that could be guessed.
		c.want("RESET", "+RESET")
		c.want("ACL WHOAMI", "$3\r\napp")
		c.want("AUTH batch any", "-WRONGPASS")
		c.want("AUTH other pass", "+OK")
		c.want("ACL WHOAMI", "$5\r\nother")
		c.want("RESET", "+RESET")
		c.want("ACL WHOAMI", "$3\r\napp")
		none := dialTLS(t, v.addr, v.client("", ""))
		none.want("GET app:k", "-NOAUTH")
		none.want("AUTH app any", "-WRONGPASS")
	})
}

func TestUserByCertificateUpstreamByURI(t *testing.T) {
	t.Parallel()
	const name = "spiffe://x/app"
	v := newCertified(t, "URI", []string{name}, func(o *proxy.Options) { o.Listeners[0].UserFrom = certs.UserFromURI })
	dialTLS(t, v.addr, v.client("whatever", name)).want("ACL WHOAMI", "$14\r\n"+name)
}

// A server that does not take the certificate for the user makes the connection one of the user
// default, which must not carry a command of the client's.
func TestUserWhoseCertificateTheServerTakesForAnother(t *testing.T) {
	t.Parallel()
	v := newCertified(t, "CN", []string{"app", "batch"})
	v.admin.want("ACL SETUSER default on nopass ~* &* +@all", "+OK")
	c := v.as("app")
	c.want("GET app:k", "$1")
	for _, line := range []string{"ACL SETUSER app off", "ACL DELUSER app", "CONFIG SET tls-auth-clients-user off"} {
		v.admin.do(line)
		refused := v.as("app")
		refused.send("SET app:evil v\r\n")
		refused.expectRefused(loginRefused)
		if strings.HasPrefix(line, "ACL SETUSER") {
			c.want("GET app:k", "$1") // as a connection that was open before
			continue
		}
		if strings.HasPrefix(line, "ACL DELUSER") {
			c.expectEOF()
			v.admin.want("ACL SETUSER app on ~* &* +@all", "+OK")
			c = v.as("app")
			c.want("GET app:k", "$1")
		}
	}
	// Nor does a link that is opened later.
	c.send("SELECT 5\r\nSET app:evil v\r\n")
	c.expectEnd()
	v.admin.want("EXISTS app:evil", ":0")
	v.admin.want("SELECT 5", "+OK")
	v.admin.want("EXISTS app:evil", ":0")
	if v.log.Count("for that user") == 0 {
		t.Errorf("the log lacks the reason:\n%s", &v.log)
	}
}

// The proxy's own certificate, for which the server may know a user, makes no client that user.
func TestProxyCertificateIsNoClients(t *testing.T) {
	t.Parallel()
	v := newCertified(t, "CN", []string{"app"}, withGuard, withRules(rule("deny", "flushall")))
	v.admin.want("ACL SETUSER proxy on ~* &* +@all", "+OK")
	none := dialTLS(t, v.addr, v.client("", ""))
	none.want("ACL WHOAMI", "$7\r\ndefault")
	none.want("SELECT 2", "+OK")
	none.want("MULTI", "+OK")
	none.want("ACL WHOAMI", "+QUEUED")
	none.want("EXEC", "*1\r\n$7\r\ndefault\r\n")
	// Nor does it take the restricted user away from scripts.
	none.want("SET kept v", "+OK")
	expectRefused(t, none.eval("flushall"))
	none.want("EXISTS kept", ":1")
	v.admin.want("ACL SETUSER default off", "+OK")
	none = dialTLS(t, v.addr, v.client("", ""))
	none.want("ACL WHOAMI", "-NOAUTH")
	none.want("PING", "-NOAUTH")
	none.want("SUBSCRIBE ch", "-NOAUTH")
}

// A certificate that is replaced ends no session, and new links show the new one. One that the server
// does not accept is that user's trouble only.
func TestUserCertificateIsReplaced(t *testing.T) {
	t.Parallel()
	other := proxytest.NewAuthority(t)
	v := newCertified(t, "CN", []string{"app", "batch"}, func(o *proxy.Options) { o.Limits.ReadyLinks = 0 })
	c, b := v.as("app"), v.as("batch")
	c.want("GET app:k", "$1")
	b.want("GET batch:k", "$-1")
	v.reissue("app", v.ca)
	if err := v.users.Check(); err != nil {
		t.Fatal(err)
	}
	c.want("GET app:k", "$1")
	v.as("app").want("ACL WHOAMI", "$3\r\napp")

	cert, key := v.reissue("app", other)
	for _, from := range []string{cert, key} {
		if err := os.Rename(from, filepath.Join(v.ca.Dir, filepath.Base(from))); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.users.Check(); err != nil {
		t.Fatal(err)
	}
	late := v.as("app")
	late.want("GET app:k", "-UPSTREAM the server ends the connections on which the proxy shows the certificate")
	b.want("GET batch:k", "$-1")
	v.as("batch").want("ACL WHOAMI", "$5\r\nbatch")
	c.want("GET app:k", "$1") // by the link that is open
	v.reissue("app", v.ca)
	if err := v.users.Check(); err != nil {
		t.Fatal(err)
	}
	proxytest.Poll(t, "the client is let in", func() bool { return late.do("GET app:k") == "$1\r\nv\r\n" })
}
