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

	"holdfast/proxy/resp"
)

// What one command may take: backendTimeout, or where it says so itself, slowTimeout.
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
	ctx     context.Context // ends with Stop
	cancel  context.CancelFunc

	password atomic.Pointer[string]

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
	s := &Server{opts: o, backend: b, log: o.Logger, done: make(chan struct{})}
	s.password.Store(&o.Password)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// SetPassword changes the password for those who authenticate from now on. The error is
// ErrNoPassword, and nothing is changed.
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
	ln, err := listen(s.opts.Address)
	if err != nil {
		return err
	}
	s.ln = &clientListener{
		Listener: ln, max: int64(s.opts.MaxClients), log: s.log, quit: s.ctx.Done(),
		wrap: s.newClient,
	}
	s.redcon = redcon.NewServerNetwork(ln.Addr().Network(), ln.Addr().String(),
		s.serve, s.opened, s.closed)
	s.redcon.SetIdleClose(s.opts.IdleTimeout)
	go s.accept()
	return nil
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

func (s *Server) closed(redcon.Conn, error) {
	s.ln.release()
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
	conn.WriteRaw(c.answer(s.ctx, args))
	if c.quit {
		// It flushes first; what is lost then is lost by the peer's own doing.
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
