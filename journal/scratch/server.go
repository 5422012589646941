package scratch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/journal/keyspace"
	"holdfast/journal/replay"
)

// Options select the scratch server. The zero value starts one of PATH.
type Options struct {
	// Server is a running one. It must be empty, and keeps the data afterwards.
	Server *keyspace.Endpoint
	// Program is a server's path or name; "": valkey-server or redis-server of PATH.
	Program string
	// Dir is the parent of the private server's folder; "": the system's temporary folder.
	Dir string
}

// Server is a scratch server that holds a journal at a point.
type Server struct {
	Endpoint keyspace.Endpoint
	About    string // the program, or the address

	dir    string
	lock   *os.File
	cmd    *exec.Cmd
	exited chan struct{}
	once   sync.Once
}

// Limits of starting and stopping.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 2 * time.Second // then it is killed: it has nothing to save
	startPoll    = 5 * time.Millisecond
)

// Rebuild returns a scratch server that is brought to the point of a plan. Of r, View and Plan are
// required; its fields about the target do not count.
//
// The first program of PATH is taken that can load the base and knows every command of the stream.
// If none does, the error is that of the last, a *[replay.PreflightError].
func Rebuild(ctx context.Context, o Options, r replay.RestoreOptions) (*Server, error) {
	return o.fill(ctx, r, func(r replay.RestoreOptions) error {
		_, err := replay.Restore(ctx, r)
		return err
	})
}

// fill returns a scratch server that bring has brought to the point of a plan. bring gets r with
// the server as the target.
func (o Options) fill(ctx context.Context, r replay.RestoreOptions, bring func(replay.RestoreOptions) error) (
	*Server, error,
) {
	if o.Server != nil {
		s := &Server{Endpoint: *o.Server, About: o.Server.Address}
		if err := bring(s.into(r)); err != nil {
			return nil, fmt.Errorf("scratch server %s: %w", s.About, err)
		}
		return s, nil
	}
	all, err := find(o.Program)
	if err != nil {
		return nil, err
	}
	for _, program := range all {
		var s *Server
		if s, err = Start(ctx, Options{Program: program, Dir: o.Dir}, r.Plan.Needs.MaxDB+1); err != nil {
			return nil, err
		}
		if err = bring(s.into(r)); err == nil {
			return s, nil
		}
		err = errors.Join(fmt.Errorf("scratch server %s: %w", program, err), s.Close())
		var pre *replay.PreflightError
		if !errors.As(err, &pre) {
			return nil, err
		}
	}
	return nil, err
}

// into makes the server the target of a restore.
func (s *Server) into(r replay.RestoreOptions) replay.RestoreOptions {
	r.Target, r.Username, r.Password = s.Endpoint.Address, s.Endpoint.Username, s.Endpoint.Password
	r.Dial, r.Serve, r.Force = s.Endpoint.Dial, s.Endpoint.Serve, false
	return r
}

// Start starts an empty private server. databases is its least number of databases.
func Start(ctx context.Context, o Options, databases int) (*Server, error) {
	all, err := find(o.Program)
	if err != nil {
		return nil, err
	}
	dir, lock, err := makeFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, lock: lock, About: all[0], exited: make(chan struct{}),
		Endpoint: keyspace.Endpoint{Address: "unix:" + filepath.Join(dir, "socket")}}
	started := make(chan error, 1)
	go s.run(all[0], max(16, databases), started)
	if err = <-started; err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// run owns the process from its start to its end. It stays on one thread, for the kernel ties the
// signal that ends the server with this process to the thread that started it.
func (s *Server) run(program string, databases int, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		started <- err
		return
	}
	defer log.Close()
	s.cmd = exec.Command(program, "--port", "0", "--unixsocket", filepath.Join(s.dir, "socket"),
		"--unixsocketperm", "700", "--dir", s.dir, "--daemonize", "no", "--save", "",
		"--appendonly", "no", "--databases", strconv.Itoa(databases), "--maxmemory", "0",
		"--repl-diskless-load", "on-empty-db", "--repl-timeout", "3600", "--replica-read-only", "yes")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.ExtraFiles = []*os.File{s.lock}
	s.cmd.SysProcAttr = apart()
	err = s.cmd.Start()
	if err == nil {
		lower(s.cmd.Process.Pid)
	}
	started <- err
	if err == nil {
		_ = s.cmd.Wait() // the log has its end, and Close causes every end
	}
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(startPoll)
	defer tick.Stop()
	for {
		if c, err := keyspace.Open(ctx, s.Endpoint); err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return fmt.Errorf("the scratch server %s ended at once; its log ends:\n%s", s.About, s.logTail())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err() // the caller's wish, and no fault of the server
			}
			return fmt.Errorf("the scratch server %s does not answer: %w; its log ends:\n%s", s.About,
				ctx.Err(), s.logTail())
		case <-tick.C:
		}
	}
}

// logTail is the end of the server's log.
func (s *Server) logTail() string {
	const lines = 10
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Close ends a private server and removes its folder. It may be called several times.
func (s *Server) Close() (err error) {
	s.once.Do(func() {
		if s.dir == "" {
			return
		}
		if s.cmd != nil && s.cmd.Process != nil {
			s.end()
		}
		err = errors.Join(os.RemoveAll(s.dir), s.lock.Close())
	})
	return err
}

func (s *Server) end() {
	_ = s.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	select {
	case <-s.exited:
		return
	case <-time.After(stopTimeout):
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}
