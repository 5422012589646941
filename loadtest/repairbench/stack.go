package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/loadtest/harness"
)

// A stack is a server with keys, and a proxy with a journal before it.
type stack struct {
	*bench
	dir, program, config string
	server, proxy        *harness.Process
	incident             int // number of the last one
}

// stepTimeout bounds each wait.
const stepTimeout = 5 * time.Minute

// withStack calls fn with a server of so many keys, once the journal follows it, and removes the data.
func (b *bench) withStack(ctx context.Context, name string, keys int, fn func(*stack) error) (err error) {
	s := &stack{bench: b, dir: filepath.Join(b.dir, name)}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if s.program, err = harness.Program(b.root, "valkey", "valkey-server"); err != nil {
		return err
	}
	addr, err := harness.FreeAddr()
	if err != nil {
		return err
	}
	if err := s.startServer(addr); err != nil {
		return err
	}
	defer func() { s.server.Stop() }() // the present one
	if err := s.do("DEBUG", "POPULATE", strconv.Itoa(keys), "key", "100"); err != nil {
		return err
	}
	if addr, err = harness.FreeAddr(); err != nil {
		return err
	}
	if s.config, err = harness.ProxyConfig(s.dir, addr, s.server.Addr, "off", "journal: {dir: j}\n"); err != nil {
		return err
	}
	if s.proxy, err = harness.Start(s.dir, "proxy", addr, b.bin, "serve", "--config", s.config); err != nil {
		return err
	}
	defer s.proxy.Stop()
	if err := s.await(ctx, "a base", s.based); err != nil {
		return err
	}
	// An RDB file from before the stream's first byte does not place a server in a history.
	if err := s.do("SET", "client:first", "1"); err != nil {
		return err
	}
	if err := fn(s); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

// startServer starts the server with the RDB file that is there.
func (s *stack) startServer(addr string) error {
	_, port, _ := net.SplitHostPort(addr)
	server, err := harness.Start(s.dir, "server", addr, s.program, "--port", port, "--bind", "127.0.0.1",
		"--save", "", "--dir", s.dir, "--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0",
		"--repl-backlog-size", "16mb", "--client-output-buffer-limit", "replica 0 0 0")
	if err == nil {
		s.server = server
	}
	return err
}

// do sends commands to the server, and waits for their replies.
func (s *stack) do(args ...string) error {
	c, err := harness.DialClient(s.server.Addr, stepTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Must(args...)
	return err
}

// await polls until a condition holds.
func (s *stack) await(ctx context.Context, what string, ok func(context.Context) bool) error {
	return harness.Await(ctx, what, stepTimeout, 100*time.Millisecond, ok)
}

// holdings are the parts needed of proxy journal ls --json.
type holdings struct {
	Timelines []struct {
		ID     int
		ReplID string
		End    int64
	}
	Bases     []struct{}
	Incidents []struct{ N int }
}

// look returns what the journal holds, and whether that is the server's whole stream.
func (s *stack) look(ctx context.Context) (h holdings, followed bool) {
	out, err := exec.CommandContext(ctx, s.bin, "journal", "ls", "--json", "--config", s.config).Output()
	if err != nil || json.Unmarshal(out, &h) != nil || len(h.Timelines) == 0 {
		return h, false
	}
	if n := len(h.Incidents); n > 0 {
		s.incident = h.Incidents[n-1].N
	}
	last := h.Timelines[len(h.Timelines)-1]
	id, end, err := s.position()
	return h, err == nil && last.ReplID == id && last.End >= end
}

func (s *stack) followed(ctx context.Context) bool {
	_, followed := s.look(ctx)
	return followed
}

// position is the server's history and offset.
func (s *stack) position() (id string, offset int64, err error) {
	c, err := harness.DialClient(s.server.Addr, stepTimeout)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	v, err := c.Must("INFO", "replication")
	for line := range strings.Lines(fmt.Sprint(v)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "master_replid":
			id = value
		case "master_repl_offset":
			offset, err = strconv.ParseInt(value, 10, 64)
		}
	}
	return id, offset, err
}

// based reports whether the journal also has a base.
func (s *stack) based(ctx context.Context) bool {
	h, followed := s.look(ctx)
	return followed && len(h.Bases) > 0
}

// lose has the server lose the writes of fn, and waits for the incident.
func (s *stack) lose(ctx context.Context, fn func(*harness.Client) error) error {
	if err := s.save(ctx); err != nil {
		return err
	}
	c, err := harness.DialClient(s.server.Addr, stepTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := fn(c); err != nil {
		return err
	}
	if err := s.await(ctx, "the journal to have the writes", s.followed); err != nil {
		return err
	}
	s.server.Kill()
	if err := s.startServer(s.server.Addr); err != nil {
		return err
	}
	before := s.incident
	return s.await(ctx, "the incident", func(ctx context.Context) bool {
		return s.followed(ctx) && s.incident > before
	})
}

// save writes the server's dump, behind a dump for a replica that is under way.
func (s *stack) save(ctx context.Context) error {
	var err error
	if e := s.await(ctx, "the dump", func(context.Context) bool {
		err = s.do("SAVE")
		return err == nil || !strings.Contains(err.Error(), "already in progress")
	}); e != nil {
		return e
	}
	return err
}

// run runs the proxy program until it ends, and returns its output, the time that it took, and its peak
// of resident memory.
func (s *stack) run(ctx context.Context, args ...string) (out []byte, took time.Duration, peak int64, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Its scratch server is the program in PATH.
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(s.program)+":"+os.Getenv("PATH"))
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, 0, err
	}
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		err = cmd.Wait()
		took = time.Since(began)
	})
	defer running.Wait()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if n, err := harness.PeakRSS(cmd.Process.Pid); err == nil { // else it has just ended
			peak = n
		}
		select {
		case <-tick.C:
		case <-ended:
			tick.Stop()
			if err != nil {
				err = fmt.Errorf("proxy %s: %w\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
			}
			return stdout.Bytes(), took, peak, err
		}
	}
}
