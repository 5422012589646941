package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
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
	const who = "listener a: CN=localhost (localhost, 127.0.0.1, ::1)"
	for _, tt := range []struct {
		cert, key string
		code      int
		want      string
	}{
		{"good", "good", exitDone, "ok    tls: " + who + ", until "},
		{"soon", "soon", exitDone, "warn  tls: " + who + " expires on "},
		{"old", "old", exitFailed, "FAIL  tls: " + who + " has expired on "},
		{"good", "soon", exitFailed,
			"FAIL  config: FILE:4:10: listeners[0].tls: certificate and key do not belong together"},
		{"none", "good", exitFailed, "FAIL  config: FILE:4:10: listeners[0].tls: unusable file: open "},
	} {
		text := fmt.Sprintf("listeners:\n  - address: 127.0.0.1:0\n    name: a\n"+
			"    tls: {cert: %[1]s/%[2]s.crt, key: %[1]s/%[3]s.key}\n", ca.Dir, tt.cert, tt.key)
		expectCheck(t, tt.code, text, offline, tt.want)
	}
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
	roots := x509.NewCertPool()
	authority, err := os.ReadFile(ca.CA)
	if err != nil || !roots.AppendCertsFromPEM(authority) {
		t.Fatal(err)
	}
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
