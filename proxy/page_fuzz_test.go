package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"holdfast/policy"
	"holdfast/proxy"
	"holdfast/proxy/proxytest"
	"holdfast/proxy/telemetry"
)

// Whatever bytes reach the operator's address: no answer is an error of ours, a request to a foreign host gets nothing,
// no cookie comes without the password, and clients are served on.
func FuzzHTTP(f *testing.F) {
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/stream", "/page.js", "/login", "/undo?id=1", "/debug/pprof/",
		"//evil.com", "*", "/../x", "/%2e%2e/", "http://evil.com/"} {
		for _, host := range []string{"127.0.0.1", "evil.com", "", "[::1", "127.0.0.1.evil.com:80", "a b"} {
			f.Add([]byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: text/html\r\n\r\n"))
		}
	}
	f.Add([]byte("POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\npassword=wrong"))
	f.Add([]byte("POST /purge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nid=1\r\n0\r\n\r\n"))
	f.Add([]byte("POST /undo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n"))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	f.Add([]byte("*1\r\n$8\r\nFLUSHALL\r\n"))
	server, at := proxytest.StartServer(f), freeAddr(f)
	addr := serve(f, server.Addr, func(o *proxy.Options) {
		o.HTTP, o.Admin.Password = at, "an operator's password"
		o.Rules = []policy.RuleSpec{{Name: "flush", Commands: []string{"flushall"}, Action: "trash"}}
	})
	f.Fuzz(func(t *testing.T, request []byte) {
		for _, resp := range exchange(t, at, request) {
			if resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented &&
				resp.StatusCode != http.StatusHTTPVersionNotSupported && resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%q: %s", request, resp.Status)
			}
			if len(resp.Cookies()) > 0 && resp.Cookies()[0].MaxAge >= 0 {
				t.Errorf("%q: a cookie", request)
			}
		}
		first, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
		if err == nil && !telemetry.HostAllowed(first.Host, nil) {
			if all := exchange(t, at, request); len(all) > 0 && all[0].StatusCode < 400 {
				t.Errorf("%q: %s to a foreign host", request, all[0].Status)
			}
		}
		if got := dial(t, addr).do("PING"); got != "+PONG\r\n" {
			t.Fatalf("a client gets %q", got)
		}
	})
}

// exchange sends bytes, and returns all responses.
func exchange(t *testing.T, at string, request []byte) (all []*http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tcp := c.(*net.TCPConn)
	_ = tcp.SetLinger(0) // or the ports run out
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(request); err != nil {
		return nil
	}
	_ = tcp.CloseWrite()
	for r := bufio.NewReader(c); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return all
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		all = append(all, resp)
	}
}
