package proxytest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stepTimeout bounds how long one step of a script waits for its bytes.
const stepTimeout = PollTimeout

// Step is one action of a scripted upstream on a connection: it expects or sends bytes.
type Step func(*ScriptConn) error

// Script is the steps of one connection. After the last step the connection stays open until the
// other side closes it; a further command is an error.
type Script []Step

// Scripted is a fake upstream that follows a script byte for byte. Each connection that sends an
// unusual command takes the next script. The commands of handshakes and control connections (HELLO,
// AUTH, CLIENT SETNAME, INFO, PING …) are answered without a script, so that scripts need not
// contain them.
//
// Any deviation from the script fails the test at its end. It is safe for concurrent use.
type Scripted struct {
	Addr string // "127.0.0.1:…"

	t        testing.TB
	listener net.Listener
	running  sync.WaitGroup // accepting and serving goroutines

	mu      sync.Mutex
	raw     bool
	scripts []Script
	each    Script // for every connection, in place of scripts
	next    int    // the script for the next connection that needs one
	ended   int    // finished scripts
	failed  []error
	replies map[string]string // by command name in lower case
	conns   map[net.Conn]struct{}
	lastID  int
	closing bool
}

// StartScripted starts a fake upstream with a script for each connection that needs one. It ends
// with the test.
func StartScripted(t testing.TB, scripts ...Script) *Scripted {
	t.Helper()
	return startScripted(t, false, scripts)
}

// StartRaw is StartScripted without automatic replies: only scripts answer, and each connection
// takes the next one as soon as it is accepted. It is for bytes that are no commands, and for
// servers that speak first.
func StartRaw(t testing.TB, scripts ...Script) *Scripted {
	t.Helper()
	return startScripted(t, true, scripts)
}

// StartAnswering starts a fake upstream without a script: on every connection, answer gets each
// unusual command; it may run for several connections at once. With end the connection is closed
// after the reply.
func StartAnswering(t testing.TB, answer func(args []string) (raw string, end bool)) *Scripted {
	t.Helper()
	s := startScripted(t, false, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.each = Script{answerAll(answer)}
	return s
}

// answerAll answers commands until the connection ends.
func answerAll(answer func(args []string) (raw string, end bool)) Step {
	return func(c *ScriptConn) error {
		c.over = true
		_ = c.SetDeadline(time.Time{})
		for {
			if more, err := c.answer(); !more {
				return err
			}
			args, _, err := readCommand(c.in)
			if err != nil {
				return err
			}
			raw, end := answer(args)
			if _, err := io.WriteString(c.Conn, raw); err != nil || end {
				return nil // the client may have left
			}
		}
	}
}

func startScripted(t testing.TB, raw bool, scripts []Script) *Scripted {
	t.Helper()
	l, err := net.Listen("tcp", loopback(0))
	if err != nil {
		t.Fatal(err)
	}
	s := &Scripted{
		Addr: l.Addr().String(), t: t, listener: l, raw: raw, scripts: scripts,
		replies: politeReplies(), conns: make(map[net.Conn]struct{}),
	}
	s.running.Add(1)
	go s.accept()
	t.Cleanup(s.cleanup)
	return s
}

// Reply sets the reply, as raw bytes, to a command outside of scripts, with any arguments.
func (s *Scripted) Reply(command, raw string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies[strings.ToLower(command)] = raw
}

// Wait waits until every script has finished, and fails the test if one failed.
func (s *Scripted) Wait() {
	s.t.Helper()
	Poll(s.t, "the scripts to end", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ended == len(s.scripts) || len(s.failed) > 0
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.failed) > 0 {
		s.t.Fatalf("scripted upstream: %v", errors.Join(s.failed...))
	}
}

// cleanup closes everything and reports failures.
func (s *Scripted) cleanup() {
	s.mu.Lock()
	s.closing = true
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.running.Wait()
	for _, err := range s.failed {
		s.t.Errorf("scripted upstream: %v", err)
	}
}

// accept serves connections until the listener is closed.
func (s *Scripted) accept() {
	defer s.running.Done()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			conn.Close()
			return
		}
		s.conns[conn] = struct{}{}
		s.lastID++
		from := &source{r: conn}
		c := &ScriptConn{Conn: conn, upstream: s, from: from, in: bufio.NewReader(from), id: s.lastID}
		s.running.Add(1)
		s.mu.Unlock()
		go c.serve()
	}
}

// take returns the next script.
func (s *Scripted) take() (Script, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.each != nil {
		return s.each, nil
	}
	if s.next >= len(s.scripts) {
		return nil, fmt.Errorf("a connection beyond the %d that have a script", len(s.scripts))
	}
	s.next++
	return s.scripts[s.next-1], nil
}

// report notes the failure of a connection, unless the test itself has ended.
func (s *Scripted) report(c *ScriptConn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.Conn)
	if err != nil && !s.closing {
		s.failed = append(s.failed, fmt.Errorf("connection %d: %w", c.id, err))
	}
}

// ScriptConn is one connection to a scripted upstream. It belongs to the goroutine that serves it.
type ScriptConn struct {
	net.Conn
	upstream *Scripted
	from     *source
	in       *bufio.Reader // of from
	id       int
	over     bool // closed by a step
}

// A source is a connection's input, with bytes that were read and put back in front.
type source struct {
	back []byte
	r    io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.back) > 0 {
		n := copy(p, s.back)
		s.back = s.back[n:]
		return n, nil
	}
	return s.r.Read(p)
}

// unread puts bytes back that were just read. It takes as long for the thousandth command of a
// connection as for the first.
func (c *ScriptConn) unread(raw []byte) {
	ahead, _ := c.in.Peek(c.in.Buffered())
	c.from.back = slices.Concat(raw, ahead, c.from.back)
	c.in.Reset(c.from)
}

// serve lives as long as the connection does.
func (c *ScriptConn) serve() {
	defer c.upstream.running.Done()
	defer c.Close()
	c.upstream.report(c, c.converse())
}

// converse answers, then runs a script if one is needed, then answers again.
func (c *ScriptConn) converse() error {
	if !c.upstream.raw {
		if more, err := c.answer(); !more {
			return err
		}
	}
	script, err := c.upstream.take()
	if err != nil {
		return err
	}
	for i, step := range script {
		if err := c.SetDeadline(time.Now().Add(stepTimeout)); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
		if err := step(c); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	c.upstream.mu.Lock()
	c.upstream.ended++
	c.upstream.mu.Unlock()
	if c.over {
		return nil
	}
	return c.linger()
}

// linger keeps the connection open after its script until the other side closes it.
func (c *ScriptConn) linger() error {
	_ = c.SetDeadline(time.Time{})
	if c.upstream.raw {
		_, _ = io.Copy(io.Discard, c.in)
		return nil
	}
	more, err := c.answer()
	if more {
		args, _, _ := readCommand(c.in)
		err = fmt.Errorf("after the script: %q", args)
	}
	return err
}

// answer answers the usual commands. It returns true when another command is waiting, and false
// when the connection has ended.
func (c *ScriptConn) answer() (more bool, err error) {
	for {
		args, raw, err := readCommand(c.in)
		if errors.Is(err, io.EOF) || isReset(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		reply, ok := c.usual(args)
		if !ok {
			c.unread(raw)
			return true, nil
		}
		if _, err := io.WriteString(c.Conn, reply); err != nil {
			return false, nil // the client may leave
		}
	}
}

// Expect reads one command and compares its arguments; usual commands before it are answered.
func Expect(args ...string) Step {
	return func(c *ScriptConn) error {
		if more, err := c.skipUsual(); !more {
			return ended(err, fmt.Sprintf("%q", args))
		}
		got, _, err := readCommand(c.in)
		if err != nil {
			return fmt.Errorf("want %q: %w", args, err)
		}
		if !slices.Equal(got, args) {
			return fmt.Errorf("got %q, want %q", got, args)
		}
		return nil
	}
}

// ExpectBytes reads as many bytes as raw has and compares them; usual commands before them are
// answered, except on a raw upstream.
func ExpectBytes(raw string) Step {
	return func(c *ScriptConn) error {
		if more, err := c.skipUsual(); !more {
			return ended(err, fmt.Sprintf("%q", raw))
		}
		got := make([]byte, len(raw))
		n, err := io.ReadFull(c.in, got)
		if err != nil {
			return fmt.Errorf("got %q, then %w, want %q", got[:n], err, raw)
		}
		if string(got) != raw {
			return fmt.Errorf("got %q, want %q", got, raw)
		}
		return nil
	}
}

// ended is the error of a script whose connection has ended: in order without an error.
func ended(err error, want string) error {
	if err == nil {
		err = io.EOF
	}
	return fmt.Errorf("want %s: %w", want, err)
}

// skipUsual answers the usual commands before the next command of the script.
func (c *ScriptConn) skipUsual() (more bool, err error) {
	if c.upstream.raw {
		return true, nil
	}
	return c.answer()
}

// ExpectEnd waits until the other side closes the connection, with nothing sent before.
func ExpectEnd() Step {
	return func(c *ScriptConn) error {
		c.over = true
		b, err := c.in.ReadByte()
		if errors.Is(err, io.EOF) || isReset(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("want the end: %w", err)
		}
		return fmt.Errorf("got %q, want the end", b)
	}
}

// Send sends bytes in one write.
func Send(raw string) Step { return SendSplit(raw, len(raw)) }

// SendSplit sends bytes in writes of n each. TCP may still join them on the way.
func SendSplit(raw string, n int) Step {
	return func(c *ScriptConn) error {
		for i := 0; i < len(raw); i += n {
			if _, err := io.WriteString(c.Conn, raw[i:min(i+n, len(raw))]); err != nil {
				return err
			}
		}
		return nil
	}
}

// Close ends the connection in order: sent bytes arrive before the end. It reads unread requests
// first, because closing with unread bytes would send a reset.
func Close() Step {
	return func(c *ScriptConn) error {
		c.over = true
		closeWrite(c.Conn)
		_, _ = io.Copy(io.Discard, c.in)
		return c.Conn.Close()
	}
}

// ResetConn ends the connection with a TCP reset, which may overtake sent bytes.
func ResetConn() Step {
	return func(c *ScriptConn) error {
		c.over = true
		setReset(c.Conn)
		return c.Conn.Close()
	}
}

// Await waits until a channel is closed or delivers: the test decides when to continue.
func Await(ch <-chan struct{}) Step {
	return func(*ScriptConn) error {
		timer := time.NewTimer(stepTimeout)
		defer timer.Stop()
		select {
		case <-ch:
			return nil
		case <-timer.C:
			return fmt.Errorf("no word from the test in %v", stepTimeout)
		}
	}
}

// Signal closes a channel: the test learns that the script has reached this step.
func Signal(ch chan<- struct{}) Step {
	return func(*ScriptConn) error {
		close(ch)
		return nil
	}
}
