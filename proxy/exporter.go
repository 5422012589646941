package proxy

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"

	"holdfast/proxy/admin"
	"holdfast/proxy/telemetry"
)

// exporter is one Telemetry with the HTTP requests that it answers at the moment. A reload can
// replace it; the figures themselves belong to the workers, and go on.
type exporter struct {
	tel     *telemetry.Telemetry
	handler http.Handler
	asked   sync.WaitGroup
}

func (srv *Server) newExporter(o telemetry.Options) (*exporter, error) {
	tel, err := telemetry.New(o, srv, srv)
	if err != nil {
		return nil, err
	}
	return &exporter{tel: tel, handler: tel.Handler()}, nil
}

// operatorHTTP is the operator's HTTP side: what telemetry serves, and the profiler where that is
// switched on. It outlives reloads.
type operatorHTTP struct {
	srv      *Server
	profiler http.Handler
}

func newOperatorHTTP(srv *Server) *operatorHTTP {
	mux := http.NewServeMux()
	mux.HandleFunc(profilerPath, pprof.Index)
	mux.HandleFunc(profilerPath+"cmdline", pprof.Cmdline)
	mux.HandleFunc(profilerPath+"profile", pprof.Profile)
	mux.HandleFunc(profilerPath+"symbol", pprof.Symbol)
	mux.HandleFunc(profilerPath+"trace", pprof.Trace)
	return &operatorHTTP{srv, mux}
}

const profilerPath = "/debug/pprof/"

// ServeHTTP implements http.Handler.
func (h *operatorHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path+"/", profilerPath) && h.srv.profiling() {
		h.profiler.ServeHTTP(w, r)
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

// askExporter returns the exporter of this moment for one request, whose end is asked.Done.
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

// openHTTP begins to serve at address; nil where there is to be nothing.
func (srv *Server) openHTTP(address string) (*telemetry.Server, error) {
	if address == "" {
		return nil, nil
	}
	s := telemetry.NewServer(address, newOperatorHTTP(srv), srv.log)
	if err := s.Start(); err != nil {
		return nil, err
	}
	srv.log.Info("serving metrics and health", "url", "http://"+address)
	return s, nil
}

// openConsole begins to serve the console; nil where there is to be none.
func (srv *Server) openConsole(o admin.Options) (*admin.Server, error) {
	if o.Address == "" {
		return nil, nil
	}
	c, err := admin.New(o, srv)
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

// closeExporter sends off what is queued.
func (srv *Server) closeExporter(ctx context.Context, e *exporter) {
	if err := e.tel.Shutdown(ctx); err != nil {
		srv.log.Warn("traces may be lost", "error", err)
	}
}
