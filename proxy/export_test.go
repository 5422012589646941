package proxy

// Served is a Server with its console, for tests of package proxy_test.
type Served struct {
	*Server
	*console
}

// Serving gives a server that listens its console.
func Serving(srv *Server) *Served { return &Served{srv, srv.backend} }
