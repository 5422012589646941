package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/proxy/resp"
)

// patience is how long a test waits for what must happen; it is never waited out by a test that
// passes.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t testing.TB, o Options, b Backend) *Server {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	s, err := New(o, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Stop: %v", err)
		}
	})
	return s
}

// console is a raw client.
type console struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func dial(t testing.TB, s *Server) *console {
	t.Helper()
	nc, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &console{Conn: nc, t: t, in: bufio.NewReader(nc)}
}

func (c *console) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads one whole reply, as bytes.
func (c *console) reply() string {
	c.t.Helper()
	var scan resp.ReplyScanner
	var all []byte
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			c.t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, b)
		_, done, err := scan.Scan([]byte{b})
		if err != nil {
			c.t.Fatalf("reply %q: %v", all, err)
		}
		if done {
			return string(all)
		}
	}
}

// do sends the words of an inline command and returns the reply.
func (c *console) do(words string) string {
	c.t.Helper()
	c.send(words + "\r\n")
	return c.reply()
}

// expect compares replies of a list of "command", "reply" pairs.
func (c *console) expect(pairs ...string) {
	c.t.Helper()
	for ; len(pairs) > 0; pairs = pairs[2:] {
		if got := c.do(pairs[0]); got != pairs[1] {
			c.t.Errorf("%s:\n got %q\nwant %q", pairs[0], got, pairs[1])
		}
	}
}

// rest reads until the server closes the connection.
func (c *console) rest() string {
	c.t.Helper()
	all, err := io.ReadAll(c.in)
	if err != nil {
		c.t.Fatalf("after %q: %v, want the end of the stream", all, err)
	}
	return string(all)
}

// text runs a command in RESP2 and returns its lines.
func (c *console) text(words string) string {
	c.t.Helper()
	v, _, err := resp.Parse([]byte(c.do(words)))
	if err != nil || v.Type != '*' {
		c.t.Fatalf("%s: %v, type %c, want an array", words, err, v.Type)
	}
	var b strings.Builder
	for _, e := range v.Elems {
		if e.Type != '+' {
			c.t.Errorf("%s: a line of type %c, want a simple string", words, e.Type)
		}
		b.Write(e.Str)
		b.WriteByte('\n')
	}
	return b.String()
}
