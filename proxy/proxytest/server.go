package proxytest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/proxy/proxytest/local"
)

const (
	// startTimeout bounds the start of a server until its first answer, even on a busy machine.
	startTimeout = 30 * time.Second
	// stopTimeout is how long a server has to exit after SIGTERM before it is killed.
	stopTimeout = 10 * time.Second
	// startAttempts is the number of ports to try when one was taken meanwhile.
	startAttempts = 8
)

// Spec selects and configures a server. The zero value is the default server on a TCP port.
type Spec struct {
	// Kind is as for [Find]; empty is the default server.
	Kind string
	// Unix asks for a unix socket instead of a TCP port.
	Unix bool
	// Args are server options as on its command line: "--appendonly", "yes". They follow the
	// package's own options and so override them.
	Args []string
	// Host is the IPv4 address to serve; empty is 127.0.0.1.
	Host string
	// Prefix is a command that becomes the server: "nsenter", with the namespace.
	Prefix []string
}

// Server is a running server process. Its exported fields are constant, except that Pid changes
// with Restart.
type Server struct {
	Binary Binary
	Addr   string // "127.0.0.1:20123", or "unix:/path" as a configuration file has it
	Port   int    // 0 on a unix socket
	Dir    string // its working folder: dumps, append-only files and server.log
	Pid    int

	t        testing.TB
	prefix   []string
	args     []string
	password string // of --requirepass, for Do and Client

	mu     sync.Mutex
	proc   *process // nil while stopped
	client *redis.Client
}

// StartServer starts the default server with extra command line options, waits until it answers,
// and stops it when the test ends. It has neither persistence nor protected commands.
func StartServer(t testing.TB, args ...string) *Server {
	t.Helper()
	return Spec{Args: args}.Start(t)
}

// EachServer runs fn as a subtest against a fresh server of every installed kind.
func EachServer(t *testing.T, fn func(t *testing.T, srv *Server), args ...string) {
	t.Helper()
	for _, b := range Binaries(t) {
		t.Run(b.String(), func(t *testing.T) {
			fn(t, Spec{Kind: b.Kind, Args: args}.Start(t))
		})
	}
}

// Start starts the server and arranges its end. Any failure fails the test.
func (spec Spec) Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{Binary: Find(t, spec.Kind), Dir: t.TempDir(), t: t, prefix: spec.Prefix}
	if i := slices.Index(spec.Args, "--requirepass"); i >= 0 && i+1 < len(spec.Args) {
		s.password = spec.Args[i+1]
	}
	var err error
	for range startAttempts {
		if err = s.place(spec); err == nil {
			err = s.launch()
		}
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start %s: %v", s.Binary.Path, err)
	}
	t.Cleanup(s.cleanup)
	return s
}

// place chooses the address and with it the arguments.
func (s *Server) place(spec Spec) error {
	where := []string{"--port", "0"}
	if spec.Unix {
		path := filepath.Join(ShortDir(s.t), "s")
		s.Addr = "unix:" + path
		where = append(where, "--unixsocket", path)
	} else {
		port, err := local.FreePort()
		if err != nil {
			return err
		}
		s.Port, s.Addr = port, net.JoinHostPort(cmp.Or(spec.Host, localhost), strconv.Itoa(port))
		where = []string{"--port", strconv.Itoa(port)}
	}
	s.args = slices.Concat(where, []string{
		"--bind", cmp.Or(spec.Host, localhost), "--protected-mode", "no", "--dir", s.Dir, "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
		"--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--enable-module-command", "yes",
	}, spec.Args)
	return nil
}

// loopback is the address of a port on this machine.
func loopback(port int) string { return net.JoinHostPort(localhost, strconv.Itoa(port)) }

const localhost = "127.0.0.1"

// launch starts the process and waits until it answers.
func (s *Server) launch() error {
	argv := slices.Concat(s.prefix, []string{s.Binary.Path}, s.args)
	p, err := startProcess(argv[0], argv[1:], s.Dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := p.waitReady(ctx, s.Dial); err != nil {
		p.End(syscall.SIGKILL, stopTimeout)
		return err
	}
	s.mu.Lock()
	s.proc, s.Pid = p, p.Pid
	s.mu.Unlock()
	return nil
}

// cleanup ends the process with the test and, if the test failed, shows the server's last log
// lines.
func (s *Server) cleanup() {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		client.Close()
	}
	s.stop(syscall.SIGKILL)
	if s.t.Failed() {
		s.t.Logf("%s at %s, last lines of its log:\n%s", s.Binary, s.Addr, logTail(s.Dir))
	}
}

// Stop asks the server to exit (SIGTERM: it saves as configured) and waits for it. It does nothing
// to a server that is down.
func (s *Server) Stop() {
	s.t.Helper()
	s.stop(syscall.SIGTERM)
}

// Kill ends the server at once (SIGKILL) and waits until it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.stop(syscall.SIGKILL)
}

func (s *Server) stop(sig syscall.Signal) {
	s.mu.Lock()
	p := s.proc
	s.proc = nil
	s.mu.Unlock()
	if p != nil {
		p.End(sig, stopTimeout)
	}
}

// Restart starts the server again on the same address and folder, after Stop if it still runs.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.TryRestart(); err != nil {
		s.t.Fatalf("restart %s: %v", s.Binary, err)
	}
}

// TryRestart is Restart for a server that may not come up. The error has the last lines of its log.
func (s *Server) TryRestart() error {
	s.t.Helper()
	s.Stop()
	return s.launch()
}

// Pause stops the process (SIGSTOP): the kernel still accepts connections, but nothing is answered.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		s.t.Fatalf("%s is not running", s.Binary)
	}
	if err := syscall.Kill(s.proc.Pid, sig); err != nil {
		s.t.Fatalf("%v to %s: %v", sig, s.Binary, err)
	}
}

// NetAddr returns Addr in net.Dial's form: "tcp" and host:port, or "unix" and the path.
func (s *Server) NetAddr() (network, address string) { return netAddr(s.Addr) }

// Dial opens a raw connection to the server.
func (s *Server) Dial() (net.Conn, error) {
	network, address := s.NetAddr()
	return net.DialTimeout(network, address, startTimeout)
}

// Client returns a go-redis client on RESP3, the same at every call. It authenticates with the
// password of --requirepass, does not retry, and is closed when the test ends.
func (s *Server) Client() *redis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		network, address := s.NetAddr()
		s.client = NewClient(network, address, s.password)
	}
	return s.client
}

// Do runs one command over Client. A null reply is nil without an error.
func (s *Server) Do(args ...any) (any, error) {
	v, err := s.Client().Do(context.Background(), args...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, err
}

// MustDo is Do, but an error fails the test.
func (s *Server) MustDo(args ...any) any {
	s.t.Helper()
	v, err := s.Do(args...)
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return v
}

// MustDoAll sends the commands that add gives to do, many at once: thousands of round trips cost seconds under the race
// detector. An error of any command fails the test.
func (s *Server) MustDoAll(add func(do func(args ...any))) {
	s.t.Helper()
	const together = 200 // the server has the client's time for as many
	pipe := s.Client().Pipeline()
	flush := func() {
		commands, _ := pipe.Exec(context.Background()) // the error is the first command's
		for _, c := range commands {
			if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
				s.t.Fatalf("%s: %v", c.Name(), err)
			}
		}
	}
	add(func(args ...any) {
		if pipe.Do(context.Background(), args...); pipe.Len() == together {
			flush()
		}
	})
	flush()
}

// Save writes the server's dump, behind a dump that is under way, such as one for a replica.
func (s *Server) Save() {
	s.t.Helper()
	Poll(s.t, "the dump", func() bool {
		_, err := s.Do("SAVE")
		if err != nil && !strings.Contains(err.Error(), "already in progress") {
			s.t.Fatalf("SAVE: %v", err)
		}
		return err == nil
	})
}

// Info returns the fields of one INFO section, or of "everything".
func (s *Server) Info(section string) map[string]string {
	s.t.Helper()
	text, ok := s.MustDo("INFO", section).(string)
	if !ok {
		s.t.Fatalf("INFO %s: not a text", section)
	}
	return maps.Collect(infoFields(text))
}

// infoFields goes over the "name:value" lines of an INFO reply.
func infoFields(text string) func(yield func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
			if ok && !yield(name, value) {
				return
			}
		}
	}
}
