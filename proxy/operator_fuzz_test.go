package proxy_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast/proxy"
	"holdfast/proxy/upstream"
)

// Whatever a request to the operator's address holds, on any of its paths: another host's name reaches nothing, nothing
// leads elsewhere, the profiler stays off, and there is no error of ours. Package page has the fuzz of its own handlers
// with a backend.
func FuzzOperatorHTTP(f *testing.F) {
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/login", "/logout",
		"/stream", "/undo", "/purge", "/repair", "/reload", "/approve", "/reject", "/page.css", "//evil.com/", "/metrics/../undo"} {
		f.Add(http.MethodGet, path, "id=4&next=//evil.com", "127.0.0.1:9390", "text/html", "", false)
		f.Add(http.MethodPost, path, "", "evil.com", "*/*", "http://evil.com", true)
	}
	srv, err := proxy.New(proxy.Options{Upstream: upstream.Options{Address: "127.0.0.1:1"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	h, end := proxy.OperatorHTTP(srv, "secret")
	end() // streams end at once
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, method, path, query, host, accept, origin string, site bool) {
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader("password=guess&id=4&how=MERGE"))
		r.Method, r.URL.Path, r.URL.RawQuery, r.Host = method, "/"+strings.TrimPrefix(path, "/"), query, host
		r.Header.Set("Accept", accept)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if site {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		if r.URL.Path == "/stream" || r.URL.Path == "/login" { // a stream goes on, and wrong passwords wait
			r = r.WithContext(gone)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		switch {
		case strings.HasSuffix(host, "evil.com") && w.Code != http.StatusMisdirectedRequest:
			t.Errorf("%s %s at %q: %d", method, path, host, w.Code)
		case w.Code >= 500 && (w.Code != http.StatusServiceUnavailable || r.URL.Path != "/readyz" && r.URL.Path != "/stream"):
			t.Errorf("%s %s: %d", method, path, w.Code)
		case strings.Contains(body, "goroutine profile") || strings.HasPrefix(r.URL.Path, "/debug/") && w.Code < 300:
			t.Errorf("%s %s: the profiler answers %d", method, path, w.Code)
		}
		if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
			t.Errorf("%s %s leads to %q", method, path, to)
		}
		if w.Header().Get("Set-Cookie") != "" && r.URL.Path != "/logout" {
			t.Errorf("%s %s: a cookie without the password", method, path)
		}
	})
}
