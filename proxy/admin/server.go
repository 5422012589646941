package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/journal/seldom"
	"holdfast/proxy/accept"
	"holdfast/proxy/resp"
)

// The time limit of one command: backendTimeout, or slowTimeout for a slow one.
const (
	backendTimeout = 5 * time.Second
	slowTimeout    = 6 * time.Hour
)

// Server is the console. Make it by New; Start it once and Stop it once.
type Server struct {
	// Immutable.
	opts    Options
	backend Backend
	log     *slog.Logger
	again   seldom.Log      // for errors that many clients can cause
	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc

	password   atomic.Pointer[string]
	places     *places
	strangers  strangerPace
	handshakes seldom.Log // of TLS that fail

	// Set by Start.
	ln      *clientListener
	redcon  *redcon.Server
	done    chan struct{}
	clients sync.WaitGroup
}

// New checks the options. The errors are ErrAddress and ErrNoPassword.
func New(o Options, b Backend) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, backend: b, log: o.Logger, done: make(chan struct{}),
		places: newPlaces(o.MaxClients)}
	s.password.Store(&o.Password)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// SetPassword changes the password for later logins. The error is ErrNoPassword; nothing is changed
// then.
func (s *Server) SetPassword(password string) error {
	if err := checkPassword(s.opts.Address, password); err != nil {
		return err
	}
	s.password.Store(&password)
	return nil
}

// Start binds the address, so that its error is known at once, and serves from a goroutine. The
// error is ErrListen.
func (s *Server) Start() error {
	ln, err := s.opts.listen()
	if err != nil {
		return err
	}
	if ln.Addr().Network() != "unix" && s.opts.TLS != nil {
		ln = accept.Wrap(ln, accept.Options{TLS: s.opts.TLS, Room: s.opts.MaxClients, Failed: s.unshaken})
	}
	s.ln = s.listener(ln)
	s.redcon = redcon.NewServerNetwork(ln.Addr().Network(), ln.Addr().String(),
		s.serve, s.opened, s.closed)
	s.redcon.SetIdleClose(s.opts.IdleTimeout)
	go s.accept()
	return nil
}

func (s *Server) listener(ln net.Listener) *clientListener {
	return &clientListener{Listener: ln, log: s.log, ctx: s.ctx, wrap: s.newClient, places: s.places,
		strangers: &s.strangers}
}

// unshaken logs failed TLS handshakes.
func (s *Server) unshaken(remote net.Addr, o accept.Outcome, err error) {
	s.handshakes.Tell(s.log, slog.LevelWarn, "console: "+o.Explain(), err)
}

// Addr is the bound address, with the port that the system chose for port 0.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Stop closes the listener and all clients, and waits for their goroutines until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	if s.ln == nil {
		return nil
	}
	// redcon's own Close knows the listener only once its goroutine runs.
	err := s.ln.Close()
	gone := make(chan struct{})
	go s.wait(gone)
	select {
	case <-gone:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}

func (s *Server) wait(gone chan<- struct{}) {
	<-s.done
	s.clients.Wait()
	close(gone)
}

// accept runs redcon's loop, which closes all clients when it ends.
func (s *Server) accept() {
	defer close(s.done)
	if err := s.redcon.Serve(s.ln); err != nil {
		s.log.Error("the console is no longer served", "err", err)
	}
}

func (s *Server) opened(conn redcon.Conn) bool {
	s.clients.Add(1)
	conn.SetContext(conn.NetConn().(*framedConn).client)
	return true
}

func (s *Server) closed(conn redcon.Conn, _ error) {
	s.places.leave(conn.NetConn().(*framedConn))
	s.clients.Done()
}

// serve answers one command. A panic costs the client its answer, and never the data path its
// process.
func (s *Server) serve(conn redcon.Conn, cmd redcon.Command) {
	c := conn.Context().(*client)
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("console: panic", "value", v, "stack", string(debug.Stack()))
			conn.WriteRaw(resp.AppendError(nil, string(errInternal)))
		}
	}()
	args := make([]string, len(cmd.Args))
	for i, a := range cmd.Args {
		args[i] = string(a)
	}
	place := conn.NetConn().(*framedConn)
	full := c.authed && !s.places.recognize(place)
	var reply []byte
	if !full {
		reply = c.answer(s.ctx, args)
		full = c.authed && !s.places.recognize(place) // it may have logged in
	}
	if full {
		s.again.Tell(s.log, slog.LevelWarn, "console client refused: too many", nil, "addr", c.addr, "max",
			s.opts.MaxClients)
		reply, c.quit = resp.AppendError(nil, string(errMaxClients)), true
	}
	conn.WriteRaw(reply)
	if c.quit {
		// It flushes first. A later loss is the peer's fault.
		_ = conn.Close()
	}
}

// answer runs a command and returns its reply.
func (c *client) answer(ctx context.Context, args []string) []byte {
	r, err := c.run(ctx, args)
	switch {
	case err == nil:
		return r(nil, c.proto)
	case errors.Is(err, context.DeadlineExceeded):
		err = errNotInTime
	case errors.Is(err, context.Canceled):
		err = errShuttingDown
	}
	return resp.AppendError(nil, errorText(err))
}
