package keyspace

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/internal/wire"
)

// Endpoint is a server's address and our credentials there. Address is host:port, or unix: and a
// path; Dial replaces the dialer, for TLS for example.
type Endpoint = wire.Endpoint

// ReplyError is an error reply, as the server worded it.
type ReplyError = wire.Error

// stepTimeout bounds each exchange with a server.
const stepTimeout = 60 * time.Second

// Server is one connection to a server. It belongs to one goroutine at a time.
type Server struct {
	endpoint Endpoint
	conn     *wire.Conn
	out      []byte // commands not sent yet
	db       int    // selected; -1: unknown
	skew     time.Duration
	features features
}

// features are the server's traits found so far.
type features struct {
	fieldDeadlines bool          // it supports HPEXPIRETIME
	dump           int           // version in the payloads of its DUMP; 0: unknown yet
	noDump         bool          // DUMP is refused
	restores       map[byte]bool // whether RESTORE accepts a payload, by its first byte
}

// Open connects to a server. The user needs the commands that read a key (WATCH, MULTI and EXEC
// among them), on a target those that write it.
func Open(ctx context.Context, e Endpoint) (*Server, error) {
	s := &Server{endpoint: e, db: 0}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := wire.Dial(ctx, e)
	if err != nil {
		return nil, s.wrap(err)
	}
	s.conn = conn
	if err := s.greet(ctx); err != nil {
		conn.Close()
		return nil, s.wrap(err)
	}
	return s, nil
}

// Address is where the server is.
func (s *Server) Address() string { return s.endpoint.Address }

// Close ends the connection.
func (s *Server) Close() error { return s.conn.Close() }

// greet asks for the traits needed. The server may refuse any of it.
func (s *Server) greet(ctx context.Context) error {
	stop, err := s.conn.Within(ctx)
	if err != nil {
		return err
	}
	defer stop()
	s.put("CLIENT", "NO-TOUCH", "ON") // or our reads would count as the clients'; since 7.2
	s.put("TIME")
	s.put("HPEXPIRETIME", TempMark, "FIELDS", "1", "f")
	if err := s.flush(); err != nil {
		return err
	}
	if _, refused, err := s.reply(); err != nil {
		return err
	} else if refused.Code() == "NOAUTH" {
		return refused
	}
	now := time.Now()
	v, _, err := s.reply()
	if err != nil {
		return err
	}
	if at, ok := serverTime(v); ok {
		s.skew = at.Sub(now)
	}
	_, no, err := s.reply()
	s.features.fieldDeadlines = !strings.Contains(string(no), "unknown command")
	return err
}

// serverTime reads the reply to TIME.
func serverTime(v any) (time.Time, bool) {
	pair, _ := v.([]any)
	if len(pair) != 2 {
		return time.Time{}, false
	}
	seconds, err1 := strconv.ParseInt(textOf(pair[0]), 10, 64)
	micros, err2 := strconv.ParseInt(textOf(pair[1]), 10, 64)
	return time.Unix(seconds, micros*1000), err1 == nil && err2 == nil
}

// now is the server's clock, in milliseconds since 1970.
func (s *Server) now() int64 { return time.Now().Add(s.skew).UnixMilli() }

// put queues a command for flush.
func (s *Server) put(args ...string) { s.out = wire.Append(s.out, args...) }

// flush sends the queued commands.
func (s *Server) flush() error {
	out := s.out
	s.out = s.out[:0]
	if cap(s.out) > 1<<20 {
		s.out = nil
	}
	_, err := s.conn.Write(out)
	return s.wrap(err)
}

// use selects a database ahead of the next command. taken reads the reply.
func (s *Server) use(db int) (taken func() (ReplyError, error)) {
	if s.db == db {
		return func() (ReplyError, error) { return "", nil }
	}
	s.put("SELECT", strconv.Itoa(db))
	before := s.db
	s.db = -1
	return func() (ReplyError, error) {
		_, refused, err := s.reply()
		switch {
		case err != nil:
		case refused != "":
			s.db = before
		default:
			s.db = db
		}
		return refused, err
	}
}

// do sends one command and reads its reply.
func (s *Server) do(args ...string) (any, ReplyError, error) {
	s.put(args...)
	if err := s.flush(); err != nil {
		return nil, "", err
	}
	return s.reply()
}

// within bounds the next exchange, on all of the given servers.
func within(ctx context.Context, servers ...*Server) (stop func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	stops := []func(){cancel}
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for _, s := range servers {
		one, err := s.conn.Within(ctx)
		if err != nil {
			stop()
			return nil, s.wrap(err)
		}
		stops = append([]func(){one}, stops...)
	}
	return stop, nil
}

// LinkError says that the connection to a server broke, or that the server sent no valid reply.
type LinkError struct {
	Address string
	Err     error
}

// Error implements error.
func (e *LinkError) Error() string { return fmt.Sprintf("server %s: %v", e.Address, e.Err) }

// Unwrap gives the cause.
func (e *LinkError) Unwrap() error { return e.Err }

func (s *Server) wrap(err error) error {
	var link *LinkError
	if err == nil || errors.As(err, &link) {
		return err
	}
	return &LinkError{s.endpoint.Address, err}
}
