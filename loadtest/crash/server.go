package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/loadtest/harness"
)

// startTimeout bounds the start of a process, on a busy machine too.
const startTimeout = 30 * time.Second

// A server is one Redis or Valkey that can be killed and started again at the same address.
type server struct {
	name, program, addr string
	dir, logs           string // of its data, and of its output
	args                []string
	runs                int
	proc                *harness.Process // nil before the first start
}

// newServer starts a server whose data are in data/name. It persists nothing unless args say so.
func newServer(ctx context.Context, program, logs, data, name string, args ...string,
) (*server, error) {
	s := &server{name: name, program: program, dir: filepath.Join(data, name), logs: logs, args: args}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	for range 5 { // another program may take the port in between
		if s.addr, err = harness.FreeAddr(); err != nil {
			return nil, err
		}
		if err = s.start(ctx); err == nil || ctx.Err() != nil {
			return s, err
		}
		s.kill()
	}
	return nil, err
}

// start starts it again, and waits until it has loaded its data.
func (s *server) start(ctx context.Context) error {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	s.runs++
	argv := append([]string{s.program, "--port", port, "--bind", "127.0.0.1", "--dir", s.dir,
		"--save", "", "--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb",
		"--appendfsync", "always", "--hz", "100"}, s.args...)
	s.proc, err = harness.Start(s.logs, fmt.Sprintf("%s-%d", s.name, s.runs), s.addr,
		argv...)
	if err != nil {
		return err
	}
	return until(ctx, s.name+" answers", func() bool {
		pid, err := s.field("server", "process_id")
		if err != nil || pid != strconv.Itoa(s.proc.Pid) {
			return false
		}
		loading, err := s.field("persistence", "loading")
		return err == nil && loading == "0"
	})
}

func (s *server) kill() {
	if s != nil && s.proc != nil {
		s.proc.Kill()
	}
}

func (s *server) freeze() { s.proc.Signal(syscall.SIGSTOP) }
func (s *server) thaw()   { s.proc.Signal(syscall.SIGCONT) }

// ask sends one command on a connection of its own, without a proxy.
func (s *server) ask(args ...string) (any, error) {
	c, err := harness.DialClient(s.addr, patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Must(args...)
}

// field is one field of INFO.
func (s *server) field(section, name string) (string, error) {
	c, err := harness.DialClient(s.addr, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.Info(section, name)
}

// offset is a replica's offset, -1 during a full resync.
func (s *server) offset() int64 {
	syncing, err := s.field("replication", "master_sync_in_progress")
	if err != nil || syncing != "0" {
		return -1
	}
	n, err := s.number("replication", "slave_repl_offset")
	if err != nil {
		return -1
	}
	return n
}

// written is a primary's offset.
func (s *server) written() (int64, error) { return s.number("replication", "master_repl_offset") }

func (s *server) number(section, name string) (int64, error) {
	text, err := s.field(section, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// linked reports that a replica follows its primary.
func (s *server) linked() bool {
	state, err := s.field("replication", "master_link_status")
	return err == nil && state == "up"
}

// online is the number of replicas that follow a primary, journals among them.
func (s *server) online() int {
	v, err := s.ask("INFO", "replication")
	text, _ := v.(string)
	if err != nil {
		return -1
	}
	return strings.Count(text, "state=online")
}

// promote makes a primary of a replica.
func (s *server) promote() error {
	_, err := s.ask("REPLICAOF", "NO", "ONE")
	return err
}

var errLate = errors.New("waited in vain")

// until polls for a condition.
func until(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w for: %s", errLate, what)
		case <-tick.C:
		}
	}
	return nil
}
