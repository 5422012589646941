package page

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"

	"holdfast/journal/seldom"
	"holdfast/proxy/admin"
)

const levelWarn = slog.LevelWarn

//go:embed assets
var assets embed.FS

// Options of New. All but Secure and Local are required.
type Options struct {
	// Password is the console's, in force now; "": none.
	Password func() string
	Attempts *admin.Attempts // the console's
	Secure   bool            // the page is served by TLS
	Local    bool            // only this machine reaches it
	Logger   *slog.Logger
}

// Page serves the operator's page. Make it by New, end it by Close.
type Page struct {
	opts     Options
	backend  Backend
	log      *slog.Logger
	source   *source
	previews *previews
	sessions sessions
	streams  streams
	renders  places
	handler  http.Handler
	crossed  seldom.Log // requests of other origins
	refused  seldom.Log // wrong passwords

	closed context.Context // ends with Close
	close  context.CancelFunc
}

// New returns a page of the proxy that b is.
func New(o Options, b Backend) *Page {
	p := &Page{opts: o, backend: b, log: o.Logger, source: newSource(b, o.Logger),
		renders: make(places, maxRenders)}
	p.previews = newPreviews(p.source)
	p.closed, p.close = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /stream", p.stream)
	mux.HandleFunc("GET /page.css", asset("page.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", asset("page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /page.svg", asset("page.svg", "image/svg+xml"))
	mux.HandleFunc("GET /login", p.loginForm)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("POST /logout", p.logout)
	for path := range changes {
		mux.HandleFunc("GET "+path, p.confirm)
		mux.HandleFunc("POST "+path, p.change)
	}
	p.handler = p.guard(mux)
	return p
}

// Serves reports whether a request is for the page. A client that does not ask for HTML at / gets the list of
// addresses that telemetry has there.
func (p *Page) Serves(r *http.Request) bool {
	switch r.URL.Path {
	case "/":
		return acceptsHTML(r) || r.Method != http.MethodGet && r.Method != http.MethodHead
	case "/stream", "/page.css", "/page.js", "/page.svg", "/login", "/logout":
		return true
	}
	_, ok := changes[r.URL.Path]
	return ok
}

// ServeHTTP implements http.Handler. The caller has checked the Host header.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// Close ends the open streams, and with them the reason for a server's shutdown to wait.
func (p *Page) Close() { p.close() }

// asset serves an embedded file.
func asset(name, kind string) http.HandlerFunc {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		// A client that left is not our error.
		_, _ = w.Write(body)
	}
}
