package proxy_test

import (
	"net/http"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// A page whose name an attacker points here reads nothing.
func TestHTTPAnswersItsOwnNamesOnly(t *testing.T) {
	t.Parallel()
	srv := proxytest.StartServer(t)
	var at string
	serve(t, srv.Addr, func(o *proxy.Options) {
		o.HTTP, o.HTTPHosts, o.Pprof = freeAddr(t), []string{"metrics.example.com"}, true
		at = o.HTTP
	})
	for host, want := range map[string]int{
		at: 200, "localhost:1": 200, "holdfast": 200, "metrics.example.com:80": 200, "evil.com": 421,
	} {
		for _, path := range []string{"/metrics", "/healthz", "/", "/debug/pprof/cmdline"} {
			req, err := http.NewRequest(http.MethodGet, "http://"+at+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			got, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != want {
				t.Errorf("%s of %s: %s, want %d", path, host, got.Status, want)
			}
		}
	}
}
