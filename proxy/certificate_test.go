package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
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
	"holdfast/proxy/telemetry"
)

// vouching is a server whose user default is off, and a proxy at which certificates stand for users.
type vouching struct {
	*keys
	srv   *proxytest.Server
	admin *conn // to the server, as default since before it was off
	addr  string
	proxy *proxy.Served
	log   proxytest.Log
	users *certs.Set
}

// newVouching makes users, each with the password that secret gives.
func newVouching(t *testing.T, kind string, from certs.UserFrom, users []string,
	change ...func(*proxy.Options)) *vouching {
	t.Helper()
	v := &vouching{keys: newKeys(t), users: certs.NewSet(slog.New(slog.DiscardHandler), nil)}
	args := []string{"--user", "control", "on", ">control", "~*", "&*", "+@all"}
	for _, name := range users {
		args = append(args, "--user", name, "on", ">"+secret(name), "~"+name+":*", "&*", "+@all")
		v.vouch(name)
	}
	v.srv = proxytest.Spec{Kind: kind, Args: args}.Start(t)
	v.admin = dial(t, v.srv.Addr)
	v.serve(v.srv.Addr, from, change...)
	v.admin.want("ACL SETUSER default off", "+OK")
	return v
}

// serve starts the proxy in front of the server at an address, which has a key.
func (v *vouching) serve(address string, from certs.UserFrom, change ...func(*proxy.Options)) {
	v.t.Helper()
	v.admin.want("SET app:k v", "+OK")
	v.addr, v.proxy = serveServer(v.t, address, append([]func(*proxy.Options){asControl(v.srv), func(o *proxy.Options) {
		o.Listeners[0].TLS, o.Listeners[0].UserFrom = v.server(certs.ClientAuthRequest), from
		o.Certificates, o.Users = v.users, v.users.Users()
		o.Logger = slog.New(slog.NewTextHandler(&v.log, nil))
	}}, change...)...)
}

// password is the file of a user's password.
func (v *vouching) password(name string) string {
	return filepath.Join(v.ca.Dir, url.PathEscape(name)+".password")
}

// secret is the password of a user.
func secret(name string) string { return "secret-of-" + name }

// vouch adds a user to the proxy's.
func (v *vouching) vouch(name string) {
	v.t.Helper()
	if err := os.WriteFile(v.password(name), []byte(secret(name)+"\n"), 0o600); err != nil {
		v.t.Fatal(err)
	}
	if err := v.users.User(certs.UserOptions{Name: name, PasswordFile: v.password(name)}); err != nil {
		v.t.Fatal(err)
	}
}

// as connects with a certificate of that common name.
func (v *vouching) as(name string) *conn {
	v.t.Helper()
	return dialTLS(v.t, v.addr, v.client(name, ""))
}

// with connects with a certificate that change has changed.
func (v *vouching) with(change func(*x509.Certificate)) *conn {
	v.t.Helper()
	cert, key := v.ca.Issue("odd", proxytest.Identity{Name: "replaced", Change: change})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		v.t.Fatal(err)
	}
	config := v.client("", "")
	config.Certificates = []tls.Certificate{pair}
	return dialTLS(v.t, v.addr, config)
}

func (c *conn) want(line, want string) {
	c.t.Helper()
	if got := c.do(line); !strings.HasPrefix(got, want) {
		c.t.Fatalf("%s: got %q, want %q", line, got, want)
	}
}

// expectRefused reads an error and the end.
func (c *conn) expectRefused(want string) {
	c.t.Helper()
	if got := c.reply(); !strings.HasPrefix(got, want) {
		c.t.Fatalf("got %q, want %q", got, want)
	}
	c.expectEOF()
}

const (
	standsForNobody = "-DENIED this client's certificate stands for none"
	loginRefused    = "-DENIED the server refuses the login"
)

func (v *vouching) refusals() uint64 {
	v.t.Helper()
	snap, err := v.proxy.Snapshot(v.t.Context())
	if err != nil {
		v.t.Fatal(err)
	}
	return snap.Loops[0].SessionsClosed[telemetry.CloseCertificate]
}

func TestCertificateStandsForAUser(t *testing.T) {
	t.Parallel()
	onDrivers(t, func(t *testing.T, driver func(*proxy.Options)) {
		audit := filepath.Join(t.TempDir(), "audit.log")
		v := newVouching(t, "valkey9", certs.UserFromCN, []string{"app", "batch"}, driver, withAudit(audit),
			func(o *proxy.Options) {
				o.Rules = []policy.RuleSpec{{Name: "app", Action: "deny", Commands: []string{"keys"},
					Users: []string{"app"}}}
			})
		c, b := v.as("app"), v.as("batch")
		// A pipeline before the first reply is answered as the user, too.
		c.send("GET app:k\r\nACL WHOAMI\r\nKEYS *\r\nGET batch:k\r\n")
		c.expect("$1\r\nv\r\n$3\r\napp\r\n")
		for _, want := range []string{"-DENIED 'keys' is refused by rule 'app'", "-NOPERM"} {
			if got := c.reply(); !strings.HasPrefix(got, want) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		proxytest.Poll(t, "the audit log has the user", func() bool {
			text, _ := os.ReadFile(audit)
			return strings.Contains(string(text), `"user":"app"`)
		})
		b.want("KEYS app:*", "*")
		if got := b.do("CLIENT LIST"); !strings.Contains(got, " user=app ") || !strings.Contains(got, " user=batch ") {
			t.Errorf("CLIENT LIST: %q", got)
		}
		// A transaction, a subscription and a blocking command have links of their own.
		c.want("MULTI", "+OK")
		c.want("ACL WHOAMI", "+QUEUED")
		c.want("EXEC", "*1\r\n$3\r\napp\r\n")
		b.want("BLPOP batch:list 0.001", "*-1")
		sub := v.as("app")
		sub.want("HELLO 3", "%")
		sub.want("SUBSCRIBE ch", ">3")
		sub.want("ACL WHOAMI", "$3\r\napp")

		// The user changes as on a server, and RESET returns to the certificate's.
		c.want("AUTH batch wrong", "-WRONGPASS")
		c.want("ACL WHOAMI", "$3\r\napp")
		c.want("AUTH batch secret-of-batch", "+OK")
		c.want("ACL WHOAMI", "$5\r\nbatch")
		c.want("RESET", "+RESET")
		c.want("ACL WHOAMI", "$3\r\napp")
		c.want("HELLO 3 AUTH default any", "-WRONGPASS")
		c.want("HELLO 3 AUTH batch secret-of-batch", "%")
		c.want("ACL WHOAMI", "$5\r\nbatch")
		c.want("RESET", "+RESET")
		c.want("HELLO 2", "*")
		c.want("ACL WHOAMI", "$3\r\napp")
		sub.want("RESET", "+RESET")
		sub.want("ACL WHOAMI", "$3\r\napp")

		// Without a certificate, where the listener allows it, the password decides.
		none := dialTLS(t, v.addr, v.client("", ""))
		none.want("GET app:k", "-NOAUTH")
		none.want("AUTH app secret-of-app", "+OK")
		none.want("ACL WHOAMI", "$3\r\napp")
		none.want("RESET", "+RESET")
		none.want("GET app:k", "-NOAUTH")
		if n := v.refusals(); n != 0 {
			t.Errorf("%d refusals", n)
		}
	})
}

func TestCertificateNamesUserByURI(t *testing.T) {
	t.Parallel()
	const name = "spiffe://example.org/ns/shop/sa/app"
	v := newVouching(t, "valkey", certs.UserFromURI, []string{name})
	dialTLS(t, v.addr, v.client("whatever", name)).want("ACL WHOAMI", "$"+"35\r\n"+name)
	dialTLS(t, v.addr, v.client("whatever", name+"2")).expectRefused(standsForNobody)
	v.with(func(c *x509.Certificate) {
		for _, text := range []string{name, "spiffe://example.org/other"} {
			u, _ := url.Parse(text)
			c.URIs = append(c.URIs, u)
		}
	}).expectRefused(standsForNobody)
}

// A certificate without a known user lets no client in, not even as default.
func TestCertificatesThatStandForNobody(t *testing.T) {
	t.Parallel()
	v := newVouching(t, "redis", certs.UserFromCN, []string{"app", "off", "gone", "changed"})
	for _, line := range []string{"SETUSER default on nopass ~* &* +@all", "SETUSER off off", "DELUSER gone",
		"SETUSER changed resetpass >secret-of-others"} {
		v.admin.do("ACL " + line)
	}
	names := func(values ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{Organization: []string{"app"}}
			for _, value := range values {
				c.Subject.ExtraNames = append(c.Subject.ExtraNames,
					pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: value})
			}
		}
	}
	cases := []struct {
		names []string
		want  string
		log   string
	}{
		{nil, standsForNobody, "certificate names no user: it has no common name"},
		{[]string{""}, standsForNobody, "it has no common name"},
		{[]string{"app", "batch"}, standsForNobody, `it has more than one common name: \"app\", \"batch\"`},
		{[]string{"unknown"}, standsForNobody, `\"unknown\" is not in users`},
		{[]string{"default"}, standsForNobody, `\"default\" is not in users`},
		{[]string{"control"}, standsForNobody, `\"control\" is not in users`},
		{[]string{"App"}, standsForNobody, `\"App\" is not in users`},
		{[]string{"app "}, standsForNobody, `\"app \" is not in users`},
		{[]string{"app\n"}, standsForNobody, `\"app\\n\" is not in users`},
		{[]string{"app\x00"}, standsForNobody, `\"app\\x00\" is not in users`},
		{[]string{"app\r\nAUTH app app"}, standsForNobody, `\"app\\r\\nAUTH app app\" is not in users`},
		{[]string{"off"}, loginRefused, `user \"off\"`},
		{[]string{"gone"}, loginRefused, `user \"gone\"`},
		{[]string{"changed"}, loginRefused, `user \"changed\"`},
	}
	for _, tt := range cases {
		c := v.with(names(tt.names...))
		c.send("ACL WHOAMI\r\nSET k v\r\n")
		c.expectRefused(tt.want)
		if !strings.Contains(v.log.String(), tt.log) {
			t.Errorf("%q: the log lacks %q", tt.names, tt.log)
		}
	}
	v.admin.want("EXISTS k", ":0")
	if n := v.refusals(); n != uint64(len(cases)) {
		t.Errorf("%d refusals are counted, want %d", n, len(cases))
	}
	if v.log.Count("secret-of") > 0 {
		t.Errorf("the log has a password:\n%s", &v.log)
	}
	v.as("app").want("ACL WHOAMI", "$3\r\napp")
}

// A password that is rotated on the server and in the file ends no session, and new links use it.
func TestCertificateUserWithRotatedPassword(t *testing.T) {
	t.Parallel()
	v := newVouching(t, "valkey", certs.UserFromCN, []string{"app"})
	old := v.as("app")
	old.want("GET app:k", "$1")
	v.admin.want("ACL SETUSER app >new <secret-of-app", "+OK")
	if err := os.WriteFile(v.password("app"), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.users.Check(); err != nil {
		t.Fatal(err)
	}
	old.want("GET app:k", "$1")
	for _, c := range []*conn{old, v.as("app")} {
		c.want("SELECT 1", "+OK") // another link
		c.want("MULTI", "+OK")
		c.want("ACL WHOAMI", "+QUEUED")
		c.want("EXEC", "*1\r\n$3\r\napp\r\n")
		c.want("RESET", "+RESET")
		c.want("ACL WHOAMI", "$3\r\napp")
	}
}

// A user who is deleted takes its sessions along, and lets them back once it is there again.
func TestCertificateUserIsDeleted(t *testing.T) {
	t.Parallel()
	v := newVouching(t, "valkey", certs.UserFromCN, []string{"app", "batch"})
	c, other := v.as("app"), v.as("batch")
	c.want("GET app:k", "$1")
	other.want("ACL WHOAMI", "$5")
	v.admin.want("ACL DELUSER app", ":1")
	c.expectEOF()
	v.as("app").expectRefused(loginRefused)
	other.want("ACL WHOAMI", "$5\r\nbatch")
	v.admin.want("ACL SETUSER app on >secret-of-app ~* +@all", "+OK")
	v.as("app").want("GET app:k", "$1")
}

// A reload that removes a user ends its sessions and no others; one that adds a user admits it.
func TestCertificateUserIsRemovedByAReload(t *testing.T) {
	t.Parallel()
	var o proxy.Options
	v := newVouching(t, "valkey", certs.UserFromCN, []string{"app", "batch"}, func(opts *proxy.Options) {
		opts.LoadOptions = func() (proxy.Options, error) { return o, nil }
		o = *opts
	})
	c, other := v.as("app"), v.as("batch")
	c.want("GET app:k", "$1")
	other.want("ACL WHOAMI", "$5")
	all := o.Users
	only := certs.NewSet(slog.New(slog.DiscardHandler), nil)
	if err := only.User(certs.UserOptions{Name: "batch", PasswordFile: v.password("batch")}); err != nil {
		t.Fatal(err)
	}
	for _, users := range []*certs.Users{only.Users(), all} {
		o.Users = users
		if _, err := v.proxy.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if users != all {
			c.expectEOF()
			v.as("app").expectRefused(standsForNobody)
		}
		other.want("ACL WHOAMI", "$5\r\nbatch")
	}
	v.as("app").want("GET app:k", "$1")
}

// While the server is away, no client gets in, and none is refused for good.
func TestCertificateWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	v := newVouching(t, "valkey", certs.UserFromCN, []string{"app"})
	v.srv.Kill()
	c := v.as("app")
	c.want("GET app:k", "-UPSTREAM ")
	v.srv.Restart()
	proxytest.Poll(t, "the session is let in", func() bool { return !strings.HasPrefix(c.do("ACL WHOAMI"), "-UPSTREAM ") })
	c.want("ACL WHOAMI", "$3\r\napp")
	if n := v.refusals(); n != 0 {
		t.Errorf("%d refusals", n)
	}
}

// A client that resumes a TLS session is the same user as before.
func TestCertificateOfAResumedSession(t *testing.T) {
	t.Parallel()
	v := newVouching(t, "valkey", certs.UserFromCN, []string{"app"})
	config := v.client("app", "")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		c := dialTLS(t, v.addr, config)
		c.want("ACL WHOAMI", "$3\r\napp")
		if got := c.Conn.(*tls.Conn).ConnectionState().DidResume; got != (i == 1) {
			t.Errorf("connection %d: resumed is %v", i, got)
		}
	}
}
