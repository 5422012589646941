package proxy

import (
	"net/http"

	"holdfast/proxy/admin/page"
)

// Served is a Server with its console, for tests of package proxy_test.
type Served struct {
	*Server
	*console
}

// Serving gives a server that listens its console.
func Serving(srv *Server) *Served { return &Served{srv, srv.backend} }

// OperatorHTTP gives the operator's HTTP side of a server that does not run. Its page has no backend.
func OperatorHTTP(srv *Server, password string) (http.Handler, func()) {
	p := page.New(page.Options{Password: func() string { return password }, Attempts: &srv.attempts, Local: true, Logger: srv.log},
		(*console)(nil))
	return newOperatorHTTP(srv, p), p.Close
}
