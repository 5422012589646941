package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/resource"
)

func initRegistry(t *testing.T, tel *Telemetry, p *producer) {
	t.Helper()
	tel.registry = prometheus.NewRegistry()
	if err := tel.register(p, resource.Empty()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
}

func TestHealthAndReadiness(t *testing.T) {
	f := &fakeProxy{snap: fullSnapshot()}
	h := newTelemetry(t, Options{}, f).Handler()
	check := func(path string, wantCode int, want string) {
		t.Helper()
		code, body := get(t, h, path)
		if code != wantCode || body != want {
			t.Errorf("%s: %d %q, want %d %q", path, code, body, wantCode, want)
		}
	}
	check("/healthz", 200, "ok\n")
	check("/readyz", 200, "ready\n")
	check("/", 200, indexText)
	f.reasons = []string{"draining", "upstream 127.0.0.1:6379: connection refused"}
	check("/healthz", 200, "ok\n")
	check("/readyz", 503, "draining\nupstream 127.0.0.1:6379: connection refused\n")
	check("/nothing", 404, "404 page not found\n")
}

func TestOnlyReading(t *testing.T) {
	h := newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}).Handler()
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, path, strings.NewReader("x")))
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d, want 405", path, rec.Code)
		}
		rec = httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodHead, path, nil))
		if rec.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d, want 200", path, rec.Code)
		}
	}
}

func startServer(t *testing.T, address string, h http.Handler) *Server {
	t.Helper()
	s := NewServer(address, nil, h, quiet())
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return s
}

func fetch(t *testing.T, s *Server) string {
	t.Helper()
	a := s.Addr()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, a.Network(), a.String())
	}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("http://holdfast/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServerServes(t *testing.T) {
	h := newTelemetry(t, Options{}, &fakeProxy{snap: fullSnapshot()}).Handler()
	for _, address := range []string{
		"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "http.sock"),
	} {
		if got := fetch(t, startServer(t, address, h)); got != "ok\n" {
			t.Errorf("%s: got %q", address, got)
		}
	}
}

func TestServerAddressInUse(t *testing.T) {
	first := startServer(t, "127.0.0.1:0", http.NotFoundHandler())
	second := NewServer(first.Addr().String(), nil, http.NotFoundHandler(), quiet())
	err := second.Start()
	if !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), first.Addr().String()) {
		t.Errorf("got %v, want an ErrListen that names the address", err)
	}
	if err := second.Stop(context.Background()); err != nil {
		t.Errorf("Stop of a server that never started: %v", err)
	}
}

// Stop waits for no one for ever: a request that hangs is cut off when the context ends.
func TestStopCutsOffWhatHangs(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s := NewServer("127.0.0.1:0", nil, http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) {
			close(entered)
			<-release
		}), quiet())
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v, want the context's error", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the hanging request was answered, want it cut off")
	}
}
