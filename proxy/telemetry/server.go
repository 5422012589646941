package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"holdfast/proxy/eventloop"
)

// Timeouts of the HTTP server. A scrape that takes longer than writeTimeout is lost; it is well
// above snapshotTimeout.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 15 * time.Second
	idleTimeout  = 2 * time.Minute
	maxHeader    = 16 << 10
)

// Server serves a handler on one address. Start it once, stop it once; Addr is safe at any time
// after Start.
type Server struct {
	address string
	tls     *tls.Config // nil: plain
	http    *http.Server
	log     *slog.Logger
	listen  func(address string) (net.Listener, error)

	// Set by Start.
	ln   net.Listener
	done chan struct{}
}

// NewServer prepares a server on address: "host:port" or "unix:/path". The former is secured by TLS unless
// secure is nil.
func NewServer(address string, secure *tls.Config, h http.Handler, log *slog.Logger) *Server {
	return &Server{address: address, tls: secure, log: log, listen: eventloop.Listen, http: &http.Server{
		Handler:           h,
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// OnStop has f called when Stop begins, so that long responses can end. Call it before Start.
func (s *Server) OnStop(f func()) { s.http.RegisterOnShutdown(f) }

// ListenBy has f open the address, in the place of a new socket. Call it before Start.
func (s *Server) ListenBy(f func(address string) (net.Listener, error)) { s.listen = f }

// Start binds the address, so that its error is known at once, and serves from a goroutine. A
// socket file that a killed process left behind is replaced. The error is an ErrListen.
func (s *Server) Start() error {
	ln, err := s.listen(s.address)
	if err != nil {
		return fmt.Errorf("%w on %s for metrics and health: %w", ErrListen, s.address, err)
	}
	if ln.Addr().Network() != "unix" && s.tls != nil {
		ln = tls.NewListener(ln, s.tls)
	}
	s.ln, s.done = ln, make(chan struct{})
	go s.serve()
	return nil
}

func (s *Server) serve() {
	defer close(s.done)
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		s.log.Error("metrics and health are no longer served", "address", s.address, "err", err)
	}
}

// Addr is the bound address, with the port that the system chose for port 0.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Stop closes the listener, waits for requests in flight until ctx ends, then cuts them off.
func (s *Server) Stop(ctx context.Context) error {
	if s.ln == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
