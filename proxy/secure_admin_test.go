package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/certs"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/proxytest/local"
)

// The console and HTTP speak TLS only, ask for certificates as configured, and HTTP is served by the
// name in the certificate.
func TestTLSConsoleAndHTTP(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	k := newKeys(t)
	var addr [2]string
	for i := range addr {
		port, err := local.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		addr[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	own := k.server(certs.ClientAuthRequire)
	config, nameless := k.client("operator", ""), k.client("", "") // before the set is watched
	serve(t, srv.Addr, func(o *proxy.Options) {
		o.AdminTLS, o.HTTP, o.Certificates = own, addr[1], k.set
		o.Admin.Address, o.Admin.Password = addr[0], "operator"
	})
	c := dialTLS(t, addr[0], config)
	if got := c.do("AUTH operator"); got != "+OK\r\n" {
		t.Errorf("AUTH: %q", got)
	}
	if got := c.do("SHOW RULES"); !strings.HasPrefix(got, "*") {
		t.Errorf("SHOW RULES: %q", got)
	}
	// The same machine may go by the files that the console has.
	nc, err := own.DialSelf(context.Background(), (&net.Dialer{}).DialContext, "tcp", addr[0])
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(body), `holdfast_certificate_unusable`) {
		t.Errorf("metrics: %v, %d bytes", err, len(body))
	}

	for _, a := range addr {
		plain := dial(t, a)
		plain.send("GET / HTTP/1.1\r\n\r\n")
		if got, _ := io.ReadAll(plain.r); strings.Contains(string(got), "200 OK") {
			t.Errorf("%s answers a plain client: %q", a, short(string(got)))
		}
		anon, err := tls.Dial("tcp", a, nameless)
		if err == nil {
			_, err = anon.Read(make([]byte, 1))
			anon.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("%s without a certificate: %v", a, err)
		}
	}
	other := newKeys(t).server(certs.ClientAuthNone)
	if _, err := other.DialSelf(context.Background(), (&net.Dialer{}).DialContext, "tcp", addr[0]); err == nil {
		t.Error("another certificate is taken for one's own")
	}
}
