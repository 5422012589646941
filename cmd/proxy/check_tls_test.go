package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

func TestCheckCertificates(t *testing.T) {
	t.Parallel()
	ca := proxytest.NewAuthority(t)
	ca.Issue("good", proxytest.Identity{})
	ca.Issue("soon", proxytest.Identity{To: time.Now().Add(48 * time.Hour)})
	ca.Issue("old", proxytest.Identity{To: time.Now().Add(-time.Minute)})
	ca.Issue("early", proxytest.Identity{From: time.Now().Add(time.Hour)})
	ca.Issue("client", proxytest.Identity{Change: func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}})
	const who = "listener a: CN=localhost (localhost, 127.0.0.1, ::1)"
	for _, tt := range []struct {
		cert, key string
		code      int
		want      string
	}{
		{"good", "good", exitDone, "ok    tls: " + who + ", until "},
		{"soon", "soon", exitDone, "warn  tls: " + who + " expires on "},
		{"old", "old", exitFailed, "FAIL  tls: " + who + " has expired on "},
		{"early", "early", exitFailed, "FAIL  tls: " + who + " is not valid before "},
		{"client", "client", exitFailed, "FAIL  tls: " + who + " is not for this side"},
		{"good", "soon", exitFailed,
			"FAIL  config: FILE:4:10: listeners[0].tls: certificate and key do not belong together"},
		{"none", "good", exitFailed, "FAIL  config: FILE:4:10: listeners[0].tls: unusable file: open "},
	} {
		text := fmt.Sprintf("listeners:\n  - address: 127.0.0.1:0\n    name: a\n"+
			"    tls: {cert: %[1]s/%[2]s.crt, key: %[1]s/%[3]s.key}\n", ca.Dir, tt.cert, tt.key)
		expectCheck(t, tt.code, text, offline, tt.want)
	}
}

func TestCheckPlain(t *testing.T) {
	t.Parallel()
	const few = "limits: {max_clients: 9, pinned_links: 9}\n"
	expectCheck(t, exitDone, "listeners: [{address: \"127.0.0.1:1\"}, {address: \"0.0.0.0:2\"}, {address: \":3\"}, "+
		"{address: \"unix:/s\"}]\nupstream: {address: \"db.example.com:6379\"}\n"+
		"admin: {address: \":4\", password: x, http: \"10.0.0.1:5\"}\n"+few, offline,
		"warn  tls: the listener 0.0.0.0:2 is plain, and other machines can reach it",
		"warn  tls: the listener :3 is plain",
		"warn  tls: the console at :4 is plain", "warn  tls: HTTP at 10.0.0.1:5 is plain",
		"warn  tls: the connections to the server db.example.com:6379 are plain",
		"2 ok, 5 warnings")
	expectCheck(t, exitDone, "listeners: [{address: \"[::1]:1\"}, {address: \"localhost:2\"}]\n"+
		"upstream: {address: \"unix:/s\"}\n"+few, offline, "2 ok, 0 warnings")
}

// identities is a configuration in which certificates stand for users.
type identities struct {
	ca   *proxytest.Authority
	addr string
	text string // of listener and users
}

// newIdentities makes users with the password "secret" in their files.
func newIdentities(t *testing.T, names ...string) *identities {
	t.Helper()
	v := &identities{ca: proxytest.NewAuthority(t), addr: freeAddr(t)}
	cert, key := v.ca.Issue("server", proxytest.Identity{})
	v.text = fmt.Sprintf("{address: %q, name: secure, user_from: cn, tls: {cert: %q, key: %q, client_ca: %q, "+
		"client_auth: require}}", v.addr, cert, key, v.ca.CA)
	v.text = "listeners: [" + v.text + "]\nusers:\n"
	for _, name := range names {
		if err := os.WriteFile(v.password(name), []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		v.text += fmt.Sprintf("- {name: %q, password_file: %q}\n", name, v.password(name))
	}
	return v
}

func (v *identities) password(name string) string { return filepath.Join(v.ca.Dir, name+".password") }

func TestCheckUsers(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
	srv.MustDo("ACL", "SETUSER", "open", "on", "nopass", "~*", "+@all")
	srv.MustDo("ACL", "SETUSER", "off", "off", ">secret", "~*", "+@all")
	v := newIdentities(t, "app", "open", "off", "gone")
	if err := os.Chmod(v.password("app"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := v.text + "upstream: {address: \"" + srv.Addr + "\"}\n"
	out := expectCheck(t, exitFailed, text, nil,
		"ok    tls: user app: for its certificates, by the password in "+v.password("app"),
		"ok    users: the server accepts the password of the user app",
		"warn  users: everyone can read "+v.password("app")+" (mode 0644)",
		"FAIL  users: the user open has no password on the server (nopass)",
		"FAIL  users: the server refuses the login of the user off: ",
		"FAIL  users: the server refuses the login of the user gone: ")
	if strings.Contains(out, "secret\n") || strings.Contains(out, "secret ") {
		t.Errorf("a password is shown:\n%s", out)
	}
	if err := os.Remove(v.password("gone")); err != nil {
		t.Fatal(err)
	}
	expectCheck(t, exitFailed, text, nil, "FAIL  config: FILE:6:33: users[3].password_file: unusable file: open ")
}

// check connects to the places with TLS where something answers.
func TestCheckServing(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	ca := proxytest.NewAuthority(t)
	cert, key := ca.Issue("server", proxytest.Identity{})
	otherCert, otherKey := ca.Issue("other", proxytest.Identity{})
	listen := func(cert, key string) string {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				_ = nc.(*tls.Conn).Handshake() // check reports its outcome
				nc.Close()
			}
		})
		t.Cleanup(func() { ln.Close(); served.Wait() })
		return ln.Addr().String()
	}
	console, http, free := listen(cert, key), listen(otherCert, otherKey), freeAddr(t)
	out := expectCheck(t, exitDone, fmt.Sprintf("listeners: [{address: %[1]q, tls: {cert: %[2]q, key: %[3]q}}]\n"+
		"upstream: {address: %[4]q}\nadmin: {address: %[5]q, http: %[6]q, password: x, tls: {cert: %[2]q, key: %[3]q}}\n",
		free, cert, key, srv.Addr, console, http), nil,
		"ok    tls: console "+console+": it serves now, with the certificate of "+cert,
		"warn  tls: HTTP "+http+": something else answers there, or a proxy that has not read its files again: ")
	if strings.Contains(out, "listener "+free+": it serves") {
		t.Errorf("nothing serves at %s:\n%s", free, out)
	}
}

// check shows each user's certificate to the server. The control user is the one whom the server takes the
// proxy's own certificate for.
func TestCheckUsersWithCertificates(t *testing.T) {
	t.Parallel()
	v := newIdentities(t)
	args, address := v.ca.ServerArgs()
	srv := proxytest.Spec{Kind: "valkey9", Args: append(args, "--tls-auth-clients-user", "CN")}.Start(t)
	srv.MustDo("ACL", "SETUSER", "app", "on", "resetpass", "~*", "+@all")
	srv.MustDo("ACL", "SETUSER", "off", "off", "resetpass")
	srv.MustDo("ACL", "SETUSER", "proxy", "on", "resetpass", "~*", "&*", "+@all", "-info")
	text := v.text + "- {name: app, cert: %[1]s/app.crt, key: %[1]s/app.key}\n" +
		"- {name: off, cert: %[1]s/off.crt, key: %[1]s/off.key}\n" +
		"- {name: soon, cert: %[1]s/soon.crt, key: %[1]s/soon.key}\n"
	text = fmt.Sprintf(text+"upstream: {address: %[2]q, tls: {ca: %[1]s/ca.crt, cert: %[1]s/proxy.crt, key: %[1]s/proxy.key}}\n",
		v.ca.Dir, address)
	for _, name := range []string{"proxy", "app", "off"} {
		v.ca.Issue(name, proxytest.Identity{Name: name})
	}
	v.ca.Issue("soon", proxytest.Identity{Name: "soon", To: time.Now().Add(48 * time.Hour)})
	if err := os.Chmod(v.ca.Dir+"/app.key", 0o644); err != nil {
		t.Fatal(err)
	}
	expectCheck(t, exitFailed, text, nil,
		"warn  login: the control user proxy may not run INFO: ",
		"ok    tls: user app: CN=app, until ",
		"warn  tls: user soon: CN=soon expires on ",
		"ok    users: the server takes "+v.ca.Dir+"/app.crt for the user app",
		"warn  users: everyone can read "+v.ca.Dir+"/app.key (mode 0644)",
		"FAIL  users: the server does not take "+v.ca.Dir+"/off.crt for the user off: ",
		"FAIL  users: the server does not take "+v.ca.Dir+"/soon.crt for the user soon: ")
	v.ca.Issue("other", proxytest.Identity{})
	for from, tt := range map[string]struct{ to, want string }{
		"/app.key": {"/other.key", "FAIL  config: FILE:3:21: users[0].cert: certificate and key do not belong together"},
		"/app.crt": {"/other.crt", "FAIL  config: FILE:3:21: users[0].cert: certificate names no user: "},
	} {
		expectCheck(t, exitFailed, strings.Replace(text, from, tt.to, 1), offline, tt.want)
	}
}

// The proxy lets a client in by its certificate, by a configuration file, and follows the file of the
// password. check finds it serving.
func TestServeUsersByCertificate(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	srv.MustDo("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
	v := newIdentities(t, "app")
	p := &process{t: t, console: freeAddr(t), http: freeAddr(t)}
	p.file = configFile(t, v.text+fmt.Sprintf("upstream: {address: %q}\nadmin: {address: %q, http: %q}\n",
		srv.Addr, p.console, p.http))
	p.start()
	cert, key := v.ca.Issue("app", proxytest.Identity{Name: "app"})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	whoami := func() string {
		d := &net.Dialer{Timeout: proxytest.PollTimeout}
		nc, err := tls.DialWithDialer(d, "tcp", v.addr, &tls.Config{RootCAs: rootsOf(t, v.ca),
			Certificates: []tls.Certificate{pair}})
		if err != nil {
			return err.Error()
		}
		defer nc.Close()
		if err := nc.SetDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write([]byte("ACL WHOAMI\r\n")); err != nil {
			return err.Error()
		}
		in := bufio.NewReader(nc)
		line, _ := in.ReadString('\n')
		if strings.HasPrefix(line, "$") {
			line, _ = in.ReadString('\n')
		}
		return strings.TrimSpace(line)
	}
	proxytest.Poll(t, "the client is app", func() bool { return whoami() == "app" })
	code, out, _ := execute(t, "check", "--config", p.file)
	if want := "ok    tls: listener secure: it serves now"; code != exitDone ||
		!strings.Contains(out, strings.Replace(want, "secure", v.addr, 1)) {
		t.Errorf("check: %d\n%s", code, out)
	}
	srv.MustDo("ACL", "SETUSER", "app", "resetpass", ">other")
	if got := whoami(); !strings.HasPrefix(got, "-DENIED the server refuses the login") {
		t.Errorf("got %q", got)
	}
	if err := os.WriteFile(v.password("app"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup("msg=reloaded")
	if got := whoami(); got != "app" {
		t.Errorf("after the reload: got %q", got)
	}
	p.signal(os.Interrupt)
	p.expectExit(exitDone)
}

func rootsOf(t *testing.T, ca *proxytest.Authority) *x509.CertPool {
	t.Helper()
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(ca.CA)
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		t.Fatal(err)
	}
	return roots
}

// A proxy serves TLS and plain listeners, RELOAD reads its files again, and bad ones change
// nothing.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	ca := proxytest.NewAuthority(t)
	cert, key := ca.Issue("server", proxytest.Identity{})
	secure := freeAddr(t)
	p := startProxy(t, srv, "")
	text := strings.Replace(p.config(srv, ""), "listeners: [", fmt.Sprintf(
		"listeners: [{address: %q, name: secure, tls: {cert: %q, key: %q}}, ", secure, cert, key), 1)
	p.rewrite(text)
	p.hangup("msg=reloaded")
	p.signal(os.Interrupt)
	p.expectExit(exitDone)

	p.start()
	proxytest.Poll(t, "the proxy answers", func() bool { return p.do("PING") == nil })
	roots := rootsOf(t, ca)
	serial := func() string {
		t.Helper()
		d := &net.Dialer{Timeout: proxytest.PollTimeout}
		nc, err := tls.DialWithDialer(d, "tcp", secure, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		got := make([]byte, 7)
		if _, err := nc.Write([]byte("PING\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Read(got); err != nil || string(got) != "+PONG\r\n" {
			t.Fatalf("got %q, %v", got, err)
		}
		return nc.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	ca.Issue("server", proxytest.Identity{})
	p.hangup("msg=reloaded")
	second := serial()
	if first == second {
		t.Error("the new certificate is not in force after a reload")
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.hangup("not reloaded")
	if serial() != second {
		t.Error("a bad file changed the certificate")
	}
}
