package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/proxy"
	"holdfast/proxy/proxytest"
)

// What the fuzzed upstream answers to GET token and BLPOP token 0: the token, in a form that its
// first letter chooses. c cuts the connection in the middle of the reply.
func tokenReply(token string) (raw string, end bool) {
	switch token[0] {
	case 'e':
		return "-ERR " + token + "\r\n", false
	case 's':
		return "+" + token + "\r\n", false
	case 'a':
		return "*3\r\n:1\r\n*2\r\n$-1\r\n" + proxytest.Bulk(token) + "*0\r\n", false
	case 'l': // large: it is not gathered whole
		return proxytest.Bulk(token + strings.Repeat(".", 100_000)), false
	case 'c':
		return proxytest.Bulk(token)[:5], true
	}
	return proxytest.Bulk(token), false
}

const tokenKinds = "besalbbc"

// fuzzSession is one client of a program: what it sends, and what it is to be told.
type fuzzSession struct {
	conn    net.Conn
	mark    string // in its tokens
	foreign string // the other session's
	pending []byte
	want    []string
	garbage bool // bytes that may mean anything come last
	cut     *bool
}

// command adds one command; the bits of b choose which and how it is written.
func (s *fuzzSession) command(b byte) {
	if s.garbage {
		return
	}
	kind := tokenKinds[b>>3&7]
	token := fmt.Sprintf("%c-%s-%d", kind, s.mark, len(s.want))
	args := []string{"GET", token}
	switch {
	case b&4 != 0 && kind == 'e':
		args = []string{"FLUSHALL"} // refused by the proxy itself
	case b&4 != 0 && kind == 'a':
		args = []string{"BLPOP", token, "0"} // a link of its own
	}
	if b&2 != 0 {
		s.pending = append(s.pending, strings.Join(args, " ")+"\r\n"...)
	} else {
		s.pending = append(s.pending, proxytest.Command(args...)...)
	}
	want, end := tokenReply(token)
	if args[0] == "FLUSHALL" {
		want = "-DENIED"
	}
	*s.cut = *s.cut || end
	s.want = append(s.want, want)
}

// flush sends what is pending, but for keep bytes.
func (s *fuzzSession) flush(keep int) error {
	n := len(s.pending) - min(keep, len(s.pending))
	_, err := s.conn.Write(s.pending[:n])
	s.pending = s.pending[n:]
	return err
}

// check reads the replies: each command has one, in its order, and it is its own. Where a link was cut,
// an error may stand for a reply, and the connection ends where a reply had begun.
func (s *fuzzSession) check() error {
	if err := s.conn.SetReadDeadline(time.Now().Add(proxytest.PollTimeout)); err != nil {
		return err
	}
	in := bufio.NewReader(s.conn)
	for i, want := range s.want {
		got, err := readReply(in)
		switch {
		case err != nil && *s.cut && !errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("reply %d: %w, want %q", i, err, short(want))
		case *s.cut && strings.HasPrefix(got, "-UPSTREAM "):
		case want == "-DENIED" && strings.HasPrefix(got, "-DENIED "):
		case got != want:
			return fmt.Errorf("reply %d is %q, want %q", i, short(got), short(want))
		}
	}
	if err := s.conn.(*net.TCPConn).CloseWrite(); err != nil && !*s.cut && !s.garbage {
		return err
	}
	rest, err := io.ReadAll(in)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the connection does not end")
	case len(rest) > 0 && !s.garbage:
		return fmt.Errorf("%q behind the last reply", short(string(rest)))
	case bytes.Contains(rest, []byte(s.foreign)):
		return fmt.Errorf("bytes of the other session: %q", short(string(rest)))
	}
	return nil
}

// play has two sessions do what the program says, a byte for each step, and checks them.
func play(addr string, program []byte) error {
	cut := false
	var both [2]*fuzzSession
	for i := range both {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		marks := [2]string{"anna", "otto"}
		both[i] = &fuzzSession{conn: conn, mark: marks[i], foreign: marks[1-i], cut: &cut}
	}
	for len(program) > 0 && max(len(both[0].want), len(both[1].want)) < 200 {
		b := program[0]
		program = program[1:]
		s := both[b&1]
		switch b >> 6 {
		case 0, 1:
			s.command(b)
		case 2:
			_ = s.flush(int(b>>1) & 31) // check sees what came of it
		case 3:
			n := min(int(b>>1)&31, len(program))
			if b < 0xf0 || n == 0 || s.garbage {
				continue
			}
			s.garbage = true
			_ = s.flush(0)
			_, _ = s.conn.Write(program[:n])
			program = program[n:]
		}
	}
	for i, s := range both {
		_ = s.flush(0)
		if err := s.check(); err != nil {
			return fmt.Errorf("session %d: %w", i, err)
		}
	}
	return nil
}

// FuzzSession has two clients of one loop send commands in any form, cut and mixed in any way, some of
// them refused, some answered in parts, some by a link that breaks, and bytes that are none.
func FuzzSession(f *testing.F) {
	for _, program := range []string{
		"\x00\x01\x80\x81", "\x00\x08\x10\x18\x20\x28\x86\x09\x19\x83\x11", "\x0c\x00\x0c\x14\x00\x95\x94",
		"\x20\x00\x21\x01\x80\x81\x0c", "\x38\x00\x01\x80\x00", "\x00\xf8*3\r\n$3\r\nSET\r\n$-1\r\n",
		"\x16\x14\x00\x16\x84\x01\x17\x81\xf1MONITOR\r\n", "\x00\x01\xf2\x00\x01$\r\n\x81\x80",
	} {
		f.Add([]byte(program))
	}
	up := proxytest.StartAnswering(f, func(args []string) (raw string, end bool) {
		switch {
		case len(args) > 1 && strings.Contains(args[1], "-") && strings.ContainsRune(tokenKinds, rune(args[1][0])):
			return tokenReply(args[1])
		default:
			return "-ERR unknown command\r\n", false
		}
	})
	addr := serve(f, up.Addr, denyFlush, func(o *proxy.Options) { o.Workers = 1 })
	f.Fuzz(func(t *testing.T, program []byte) {
		c := dial(t, addr)
		proxytest.Poll(t, "the upstream is there", func() bool {
			return strings.HasPrefix(c.do("GET b-"), "$2")
		})
		if err := play(addr, program); err != nil {
			t.Errorf("%q: %v", program, err)
		}
	})
}
