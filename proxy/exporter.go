package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"holdfast/journal/seldom"
	"holdfast/proxy/admin"
	"holdfast/proxy/admin/page"
	"holdfast/proxy/telemetry"
)

// exporter is one Telemetry with its HTTP requests in flight. A reload can replace it; the counters
// belong to the workers and continue.
type exporter struct {
	tel     *telemetry.Telemetry
	handler http.Handler
	asked   sync.WaitGroup
}

func (srv *Server) newExporter(o telemetry.Options) (*exporter, error) {
	tel, err := telemetry.New(o, srv.status, srv.status)
	if err != nil {
		return nil, err
	}
	return &exporter{tel: tel, handler: tel.Handler()}, nil
}

// recordFailover traces a failover.
func (srv *Server) recordFailover(r telemetry.FailoverRecord) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.exporter.tel.RecordFailover(r)
}

// operatorHTTP is the operator's HTTP side: the page, telemetry and, if enabled, the profiler. It
// outlives reloads that leave its address.
type operatorHTTP struct {
	srv      *Server
	page     *page.Page
	profiler http.Handler
	told     seldom.Pace // of refused requests; guarded by srv.mu
}

func newOperatorHTTP(srv *Server, p *page.Page) *operatorHTTP {
	mux := http.NewServeMux()
	mux.HandleFunc(profilerPath, pprof.Index)
	mux.HandleFunc(profilerPath+"cmdline", pprof.Cmdline)
	mux.HandleFunc(profilerPath+"profile", pprof.Profile)
	mux.HandleFunc(profilerPath+"symbol", pprof.Symbol)
	mux.HandleFunc(profilerPath+"trace", pprof.Trace)
	return &operatorHTTP{srv: srv, page: p, profiler: mux}
}

const profilerPath = "/debug/pprof/"

// meant reports whether a request is meant for this proxy. No browser reaches a unix socket.
func (h *operatorHTTP) meant(r *http.Request) bool {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() == "unix" {
		return true
	}
	h.srv.mu.Lock()
	hosts := h.srv.current.HTTPHosts
	h.srv.mu.Unlock()
	return telemetry.HostAllowed(r.Host, hosts)
}

// refuse logs, at most once a minute, that a request is not meant for this proxy.
func (h *operatorHTTP) refuse(r *http.Request) {
	h.srv.mu.Lock()
	tell := h.told.Passes("", time.Now().UnixNano(), time.Minute)
	h.srv.mu.Unlock()
	if tell {
		h.srv.log.Warn("an HTTP request is refused: its Host is none of this proxy's, which may be an "+
			"attack by way of a browser; if it is one, add it to admin.http_hosts", "host", r.Host,
			"client", r.RemoteAddr)
	}
}

// ServeHTTP implements http.Handler.
func (h *operatorHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.meant(r) {
		h.refuse(r)
		http.Error(w, "this host name is not served here: see admin.http_hosts", http.StatusMisdirectedRequest)
		return
	}
	if strings.HasPrefix(r.URL.Path+"/", profilerPath) && h.srv.profiling() {
		h.profiler.ServeHTTP(w, r)
		return
	}
	if h.page.Serves(r) {
		h.page.ServeHTTP(w, r)
		return
	}
	e := h.srv.askExporter()
	defer e.asked.Done()
	e.handler.ServeHTTP(w, r)
}

func (srv *Server) profiling() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.current.Pprof
}

// askExporter returns the current exporter for one request, which ends with asked.Done.
func (srv *Server) askExporter() *exporter {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.exporter.asked.Add(1)
	return srv.exporter
}

// startAdmin opens the console and the HTTP side.
func (srv *Server) startAdmin() (err error) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.http, err = srv.openHTTP(srv.opts.HTTP); err != nil {
		return err
	}
	srv.console, err = srv.openConsole(srv.opts.Admin)
	return err
}

// openHTTP begins to serve HTTP at address; nil: none configured.
func (srv *Server) openHTTP(address string) (*telemetry.Server, error) {
	if address == "" {
		return nil, nil
	}
	scheme, secure := "http://", (*tls.Config)(nil)
	if srv.opts.AdminTLS != nil {
		scheme, secure = "https://", srv.opts.AdminTLS.Config()
	}
	p := page.New(page.Options{Password: srv.operatorPassword, Attempts: &srv.attempts, Secure: secure != nil,
		Local: admin.Local(address), Logger: srv.log}, srv.backend)
	s := telemetry.NewServer(address, secure, newOperatorHTTP(srv, p), srv.log)
	s.ListenBy(srv.opts.Sockets.Listen)
	s.OnStop(p.Close)
	if err := s.Start(); err != nil {
		return nil, err
	}
	srv.log.Info("serving the operator's page, metrics and health", "url", scheme+address)
	return s, nil
}

// operatorPassword is the one of console and page that is in force.
func (srv *Server) operatorPassword() string { return srv.options().Admin.Password }

// openConsole begins to serve the console; nil: none configured.
func (srv *Server) openConsole(o admin.Options) (*admin.Server, error) {
	if o.Address == "" {
		return nil, nil
	}
	if srv.opts.AdminTLS != nil {
		o.TLS = srv.opts.AdminTLS.Config()
	}
	o.Attempts, o.Listen = &srv.attempts, srv.opts.Sockets.Listen
	c, err := admin.New(o, srv.backend)
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	srv.log.Info("serving the console", "address", o.Address)
	return c, nil
}

// closeConsole and closeHTTP end one of them, if there is one.
func (srv *Server) closeConsole(ctx context.Context, c *admin.Server) {
	if c == nil {
		return
	}
	if err := c.Stop(ctx); err != nil {
		srv.log.Warn("the console did not end in time", "error", err)
	}
}

func (srv *Server) closeHTTP(ctx context.Context, s *telemetry.Server) {
	if s == nil {
		return
	}
	if err := s.Stop(ctx); err != nil {
		srv.log.Warn("the HTTP side did not end in time", "error", err)
	}
}

// closeExporter exports the queued spans.
func (srv *Server) closeExporter(ctx context.Context, e *exporter) {
	if err := e.tel.Shutdown(ctx); err != nil {
		srv.log.Warn("traces may be lost", "error", err)
	}
}
